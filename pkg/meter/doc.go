// SPDX-License-Identifier: Apache-2.0

// Package meter says when the kernel's counters are read, and hands the readings
// to a [Sink], which debits them. It knows nothing of sessions.
//
// The kernel enforces limits and deadlines by itself, on the packet. The meter's
// part is that the books follow soon: that a session which ended is ended in the
// store and the device's next one starts.
//
// # When
//
//   - Due: what is due is settled at the time the Sink names, by a timer on
//     CLOCK_BOOTTIME, usually within 0.2 ms. That clock runs while the machine
//     sleeps, and so does the timer: what fell due is settled on waking.
//   - An event of the kernel (an account reached its limit, or a packet came after
//     its deadline): the Sink settles that account alone, so that the gap before
//     the next session does not grow with the number of customers. In a burst of
//     many accounts, one reading of all of them is faster, and done instead.
//   - A checkpoint, an interval after everything was last settled: what an agent or
//     machine that dies may leave unsettled is bounded by it.
//   - When Run begins, and when it ends.
//
// # When something fails
//
// Counters are cumulative and settling is idempotent, so a reading or a settling
// that failed loses nothing: the next one covers it. It is tried again every
// second. A failure is logged when it begins and when it is over, not in between.
package meter
