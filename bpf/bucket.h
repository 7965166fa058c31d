/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rate limits by virtual scheduling (GCRA): one time per bucket, the theoretical arrival
 * of the next packet. Its distance from now is the backlog. Speeds are times per byte, so
 * that no packet costs a division.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "compiler.h"
#include "parse.h"

#define BUCKET_TRIES 4

/* What a frame costs in a bucket. */
struct bucket_cost {
	__u64 charge_ns; /* all its wire bytes */
	__u64 admit_ns;  /* the part that must fit, see ABI_ADMIT_BYTES */
};

static __always_inline __u64 bucket_ns(__u32 bytes, __u64 rate_ns_per_byte)
{
	if (bytes > ABI_COST_BYTES)
		bytes = ABI_COST_BYTES;
	return bytes * rate_ns_per_byte >> ABI_RATE_SHIFT;
}

static __always_inline struct bucket_cost bucket_cost(const struct frame *f, __u64 rate_ns_per_byte)
{
	__u32 admit = f->wire < ABI_ADMIT_BYTES ? f->wire : ABI_ADMIT_BYTES;

	return (struct bucket_cost){
		.charge_ns = bucket_ns(f->wire, rate_ns_per_byte),
		.admit_ns = bucket_ns(admit, rate_ns_per_byte),
	};
}

/* The same at a speed that is a constant of whole ns. */
static __always_inline struct bucket_cost bucket_fixed_cost(const struct frame *f, __u32 ns_per_byte)
{
	__u32 admit = f->wire < ABI_ADMIT_BYTES ? f->wire : ABI_ADMIT_BYTES;

	return (struct bucket_cost){
		.charge_ns = (__u64)f->wire * ns_per_byte,
		.admit_ns = (__u64)admit * ns_per_byte,
	};
}

/* Follows a change of the speed. A backlog of the former speed delays the new one by no
 * more than its burst; true: it was cut to that. */
static __always_inline bool bucket_renew(struct bucket *b, const struct speed *s, __u64 now)
{
	if (b->rate_ns_per_byte == s->rate_ns_per_byte)
		return false;
	b->rate_ns_per_byte = s->rate_ns_per_byte;
	if (b->tat_ns <= now + s->burst_ns)
		return false;
	b->tat_ns = now + s->burst_ns;
	return true;
}

static __always_inline __u64 bucket_backlog(const struct bucket *b, __u64 now)
{
	const __u64 tat = READ_ONCE(b->tat_ns);

	return tat > now ? tat - now : 0;
}

/* Charges a frame that fits below a depth, or returns false. */
static __always_inline bool bucket_charge(__u64 *tat_ns, struct bucket_cost cost, __u64 depth_ns, __u64 now)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < BUCKET_TRIES; i++) {
		const __u64 tat = READ_ONCE(*tat_ns);
		const __u64 start = tat > now ? tat : now;

		if (start - now + cost.admit_ns > depth_ns)
			return false;
		if (__sync_val_compare_and_swap(tat_ns, tat, start + cost.charge_ns) == tat)
			return true;
	}
	/* Other CPUs charged theirs each time, so the bucket is not empty. */
	__sync_fetch_and_add(tat_ns, cost.charge_ns);
	return true;
}

/* Charges a frame that fits, or returns false. */
static __always_inline bool bucket_admit(struct bucket *b, const struct speed *s, struct bucket_cost cost,
					 __u64 depth_ns, __u64 now)
{
	if (!s->rate_ns_per_byte)
		return true;
	bucket_renew(b, s, now);
	return bucket_charge(&b->tat_ns, cost, depth_ns, now);
}
