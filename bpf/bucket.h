/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rate limits by virtual scheduling (GCRA): one moment in time per bucket, the
 * theoretical arrival of the next packet; how far it lies ahead of now is the
 * backlog. Speeds come as time per byte, so that no packet costs a division.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"

/* What a frame takes of a bucket. */
struct bucket_cost {
	__u64 charge_ns; /* all its wire bytes */
	__u64 admit_ns;  /* what must fit: a slow client's super-packets pass too */
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

/* Whether the speed is a new one. A debt made at another must not hold it up. */
static __always_inline bool bucket_renew(struct bucket *b, const struct speed *s, __u64 now)
{
	if (b->rate_ns_per_byte == s->rate_ns_per_byte)
		return false;
	b->rate_ns_per_byte = s->rate_ns_per_byte;
	if (b->tat_ns > now + s->burst_ns)
		b->tat_ns = now + s->burst_ns;
	return true;
}

static __always_inline __u64 bucket_backlog(const struct bucket *b, __u64 now)
{
	return b->tat_ns > now ? b->tat_ns - now : 0;
}

/* Admits the frame and charges it, or neither. The caller holds the account's lock. */
static __always_inline bool bucket_admit(struct bucket *b, const struct speed *s, struct bucket_cost cost, __u64 now)
{
	__u64 backlog;

	if (!s->rate_ns_per_byte)
		return true;
	bucket_renew(b, s, now);
	backlog = bucket_backlog(b, now);
	if (backlog + cost.admit_ns > s->burst_ns)
		return false;
	b->tat_ns = now + backlog + cost.charge_ns;
	return true;
}
