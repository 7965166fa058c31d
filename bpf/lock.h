/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A lock in a map's value. Interrupts stay enabled, so the holder can be interrupted, or
 * preempted by a hypervisor for milliseconds: waiting is bounded, and callers need a way
 * without the lock. A bpf_spin_lock disables interrupts, which costs more than all that
 * is done under this lock, and its map cannot be mapped into memory.
 */
#pragma once

#include <stdbool.h>

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define LOCK_SPINS 16 /* some hundred ns; a holder takes 50 */

/* Exchanging is a full barrier: the next holder sees what this one wrote. */
static __always_inline bool lock_try_acquire(__u32 *lock)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < LOCK_SPINS; i++)
		if (!__sync_lock_test_and_set(lock, 1))
			return true;
	return false;
}

/* An exchange too: BPF of -mcpu=v3 has no store that is a barrier. */
static __always_inline void lock_release(__u32 *lock)
{
	__sync_lock_test_and_set(lock, 0);
}
