/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shares of a speed, for flows (fair.h) and clients (uplink.h). */
#pragma once

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define SHARE_SMALL_BYTES 256 /* SYN, ACK, DNS, echo */
/* In packets of ABI_ADMIT_BYTES: */
#define SHARE_MIN 8    /* what each may queue at least */
#define SHARE_SPARSE 6 /* and beyond that with an empty queue or a small packet */

#define SHARE_SHIFT 20 /* its product with the longest backlog fits 64 bits */
#define SHARE_COUNT 64 /* more than ABI_FLOWS, and a power of two */

#define SHARE_1(n) [n] = (1U << SHARE_SHIFT) / (n)
#define SHARE_4(n) SHARE_1(n), SHARE_1(n + 1), SHARE_1(n + 2), SHARE_1(n + 3)
#define SHARE_16(n) SHARE_4(n), SHARE_4(n + 4), SHARE_4(n + 8), SHARE_4(n + 12)

static const __u32 share_reciprocals[SHARE_COUNT] = {SHARE_16(1), SHARE_16(17)};

/* ns / n, rounded down, without a division; 0 for n = 0. */
static __always_inline __u64 share_of(__u64 ns, __u32 n)
{
	return ns * share_reciprocals[n & (SHARE_COUNT - 1)] >> SHARE_SHIFT;
}

/* How much all that share a speed may have queued together. */
static __always_inline __u64 share_total_ns(const struct speed *s)
{
	return 2 * s->burst_ns;
}

/* And how much beyond that a small packet, or one that finds its queue empty. */
static __always_inline __u64 share_sparse_ns(const struct speed *s)
{
	return s->burst_ns / 4;
}
