/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The speeds of a device that does not pay: of each MAC, and of all MACs together. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "maps.h"
#include "parse.h"

/* Under memory pressure buckets may be lost, or be another MAC's for an instant: that
 * costs or gives a few lookups, no more. */
static __always_inline struct preauth_bucket *preauth_bucket(const struct frame *f)
{
	struct preauth_bucket *b = bpf_map_lookup_elem(&preauth_buckets, &f->client);

	if (!b) {
		struct preauth_bucket fresh = {};

		bpf_map_update_elem(&preauth_buckets, &f->client, &fresh, BPF_NOEXIST);
		b = bpf_map_lookup_elem(&preauth_buckets, &f->client);
	}
	return b;
}

/* The buckets of all MACs together. */
static __always_inline struct preauth_bucket *preauth_bucket_of_all(void)
{
	const __u32 first = 0;

	return bpf_map_lookup_elem(&preauth_bucket_all, &first);
}

/* Charges a frame, or returns false. The MAC's own bucket comes first: a device over its
 * speed takes nothing of the others'. All together have macs times as much; what their
 * bucket has no room for is charged to the MAC all the same. */
static __always_inline bool preauth_charge_own(struct preauth_bucket *own, enum preauth_speed of, struct bucket_cost cost, __u32 macs,
					       __u64 depth_ns, __u64 now)
{
	struct preauth_bucket *all;

	if (!own || !bucket_charge(&own->tat_ns[of], cost, depth_ns, now))
		return false;
	cost.charge_ns /= macs;
	cost.admit_ns /= macs;
	all = preauth_bucket_of_all();
	return all && bucket_charge(&all->tat_ns[of], cost, depth_ns, now);
}

static __always_inline bool preauth_charge(const struct frame *f, enum preauth_speed of, struct bucket_cost cost, __u32 macs,
					   __u64 depth_ns, __u64 now)
{
	return preauth_charge_own(preauth_bucket(f), of, cost, macs, depth_ns, now);
}
