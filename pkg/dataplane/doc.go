// SPDX-License-Identifier: Apache-2.0

// Package dataplane has the values that describe enforcement: the rules that the control
// plane writes, the counters and events that it gets back, and the state of the
// interfaces. It builds on every operating system and does no I/O. What enforces them
// is pkg/dataplane/linux.
package dataplane
