/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The total of all clients, shared max-min fairly: a client that wants less than an even
 * share gets all it wants, the others get even shares of the rest. A client's own speed
 * stays its ceiling.
 *
 * Fair phantom queues as in fair.h, with clients for flows. Clients are too many to scan,
 * so their queues are on a virtual time wheel: the queue of a client is an interval of
 * virtual time that begins when its first packet arrives, and each slot of the wheel has
 * the sum of the work in it. The clock passes a slot when the bucket has drained that
 * much. The number of active clients is the work of a slot divided by its length. A
 * packet costs the same for any number of clients, and all queues together are as long
 * as the bucket's backlog.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "branchless.h"
#include "bucket.h"
#include "config.h"
#include "lock.h"
#include "maps.h"
#include "packet.h"
#include "share.h"

#define UPLINK_STEPS 4 /* slots that one packet passes; the next packet continues */
#define UPLINK_SPREAD_SLOTS 32 /* of a super-packet, twice as many as slotShift in Go allows for */
#define UPLINK_WORK_BITS 40
#define UPLINK_SHARE_SHIFT 20

/* The charge of one frame, from uplink_begin to uplink_end. */
struct uplink_txn {
	struct uplink *uplink; /* NULL: there is no total */
	bool locked;           /* false: the bucket alone decides */
	__u64 queue_ns;        /* the length of the client's queue */
	__u64 charge_ns;
};

/* Locks the wheel. With it locked for long the bucket alone decides, without waiting: the
 * slots add up to less than its backlog for a while then. */
static __always_inline struct uplink_txn uplink_begin(enum direction dir)
{
	struct uplink_txn txn = {};
	const __u32 key = dir;
	struct uplink *l;

	if (!config_uplink)
		return txn;
	l = bpf_map_lookup_elem(&uplinks, &key);
	if (!l || !l->speed.rate_ns_per_byte)
		return txn;
	txn.uplink = l;
	txn.locked = lock_try_acquire(&l->lock);
	return txn;
}

static __always_inline void uplink_end(const struct uplink_txn *txn)
{
	if (txn->locked)
		lock_release(&txn->uplink->lock);
}

/* log2 of the ns of a slot. Masked, as C leaves a shift by 64 or more undefined. */
static __always_inline __u64 uplink_slot_shift(const struct uplink *l)
{
	return l->slot_shift & 63;
}

/* The work in a slot, ns. That of an earlier round of the wheel is done. */
static __always_inline __u64 uplink_work(const struct uplink *l, __u64 slot)
{
	__u64 work = l->work[slot & (ABI_UPLINK_SLOTS - 1)];
	__u64 round = slot / ABI_UPLINK_SLOTS << UPLINK_WORK_BITS;

	work ^= round;
	return work & (u64_gt(work >> UPLINK_WORK_BITS, 0) - 1);
}

static __always_inline void uplink_add(struct uplink *l, __u64 slot, __u64 ns)
{
	__u64 round = slot / ABI_UPLINK_SLOTS << UPLINK_WORK_BITS;

	l->work[slot & (ABI_UPLINK_SLOTS - 1)] = round | (uplink_work(l, slot) + ns);
}

/* The virtual time. Inside a slot it advances as if as many clients shared this one as
 * the one before. */
static __always_inline __u64 uplink_vtime(const struct uplink *l, __u64 now)
{
	const __u64 shift = uplink_slot_shift(l), last = (1ULL << shift) - 1;
	__u64 since = now - l->vtime_at_ns;

	if ((__s64)since < 0)
		since = 0;
	if (since > last * l->sharers)
		since = last;
	else
		since = since * l->share >> UPLINK_SHARE_SHIFT;
	return (l->slot << shift) + since;
}

static __always_inline void uplink_share(struct uplink *l, __u32 sharers)
{
	l->sharers = sharers ? sharers : 1;
	l->share = (1U << UPLINK_SHARE_SHIFT) / l->sharers; /* once per slot, not per packet */
}

/* All queues are empty: the intervals of all clients are in the past. */
static __always_inline void uplink_empty(struct uplink *l, __u64 now)
{
	if (l->last_slot >= l->slot)
		l->slot = l->last_slot + 1;
	uplink_share(l, 1);
	l->vtime_at_ns = now;
}

/* Passes the slots whose work is done by now. */
static __always_inline void uplink_advance(struct uplink *l, __u64 now)
{
	__u64 left = now - l->vtime_at_ns, passed = 0;

	if (!bucket_backlog(&l->bucket, now)) {
		uplink_empty(l, now);
		return;
	}
	if ((__s64)left <= 0)
		return; /* a packet on another CPU was first */
#pragma clang loop unroll(disable)
	for (int i = 0; i < UPLINK_STEPS; i++) {
		const __u64 work = uplink_work(l, l->slot);

		if (left < work)
			break;
		left -= work;
		passed = work;
		l->slot++;
	}
	if (passed)
		uplink_share(l, passed >> uplink_slot_shift(l));
	l->vtime_at_ns = now - left;
}

/* How many clients want more than they get: those with work beyond this slot. */
static __always_inline __u64 uplink_sharers(const struct uplink *l)
{
	__u64 coming = uplink_work(l, l->slot + 1) >> uplink_slot_shift(l);

	if (coming < l->sharers)
		coming = l->sharers;
	return coming;
}

/* Whether a frame fits its client's share. */
static __always_inline bool uplink_fits_share(struct uplink_txn *txn, const struct packet *p, struct bucket_cost cost,
					      bool small)
{
	struct uplink *l = txn->uplink;
	__u64 min_ns = SHARE_MIN;

	uplink_advance(l, p->now);
	txn->queue_ns = p->account->uplink_ns[p->dir] - uplink_vtime(l, p->now);
	/* In the past, or of another clock. */
	if (txn->queue_ns > (__u64)ABI_UPLINK_SLOTS << uplink_slot_shift(l))
		txn->queue_ns = 0;
	if (!txn->queue_ns || small)
		min_ns += SHARE_SPARSE;
	min_ns *= bucket_ns(ABI_ADMIT_BYTES, l->speed.rate_ns_per_byte);
	return txn->queue_ns + cost.admit_ns <= min_ns ||
	       (txn->queue_ns + cost.admit_ns) * uplink_sharers(l) <= l->speed.burst_ns;
}

/* Charges a frame that fits the bucket and its client's share to the bucket, or returns
 * false. */
static __always_inline bool uplink_admit(struct uplink_txn *txn, const struct packet *p)
{
	const bool small = p->frame->wire <= SHARE_SMALL_BYTES;
	struct uplink *l = txn->uplink;
	struct bucket_cost cost;
	__u64 total_ns;

	if (!l)
		return true;
	cost = bucket_cost(p->frame, l->speed.rate_ns_per_byte);
	txn->charge_ns = cost.charge_ns;
	if (txn->locked && !uplink_fits_share(txn, p, cost, small))
		return false;
	total_ns = share_total_ns(&l->speed);
	if (!txn->queue_ns || small)
		total_ns += share_sparse_ns(&l->speed);
	return bucket_charge(&l->bucket.tat_ns, cost, total_ns, p->now);
}

/* The frame does not pass, for another reason. */
static __always_inline void uplink_refund(const struct uplink_txn *txn)
{
	if (txn->uplink)
		__sync_fetch_and_add(&txn->uplink->bucket.tat_ns, -txn->charge_ns);
}

/* Spreads work over the slots from a virtual time on. That of a super-packet covers many. */
static __always_inline void uplink_spread(struct uplink *l, __u64 start, __u64 ns)
{
	const __u64 shift = uplink_slot_shift(l);
	__u64 slot = start >> shift, room = ((slot + 1) << shift) - start;

	if (ns > room) {
		/* Always all of them, some with 0: the verifier would follow each exit. */
#pragma clang loop unroll(disable)
		for (int i = 0; i < UPLINK_SPREAD_SLOTS; i++) {
			const __u64 part = u64_min(ns, room);

			uplink_add(l, slot++, part);
			ns -= part;
			room = 1ULL << shift;
		}
	}
	uplink_add(l, slot, ns);
}

/* Appends the charge of a frame to the queue of its client. */
static __always_inline void uplink_queue(const struct uplink_txn *txn, const struct packet *p)
{
	struct uplink *l = txn->uplink;
	__u64 start, finish, last;

	if (!txn->locked)
		return;
	start = uplink_vtime(l, p->now) + txn->queue_ns;
	finish = start + txn->charge_ns;
	last = (l->slot + ABI_UPLINK_SLOTS - 1) << uplink_slot_shift(l);
	if (finish > last)
		finish = last;
	if (finish >> uplink_slot_shift(l) > l->last_slot)
		l->last_slot = finish >> uplink_slot_shift(l);
	uplink_spread(l, start, txn->charge_ns);
	p->account->uplink_ns[p->dir] = finish;
}
