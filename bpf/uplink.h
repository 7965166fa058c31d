/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The total of all clients, shared by need (max-min): whoever wants less than an even
 * share gets all it wants, and the others get even shares of what is left. Each
 * client's own speed stays its ceiling.
 *
 * It is fair queueing of phantoms again (fair.h), with clients for flows and a clock
 * of slots, because clients are too many to look at: what each has queued lies end to
 * end on the clock from its arrival on, and the slots add up how much work lies in
 * them. The clock passes a slot when the bucket has done that much. So a packet costs
 * the same for any number of clients, all queues together are as long as the bucket's
 * backlog, and how many clients share is the work of a slot over its length.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "config.h"
#include "fair.h"
#include "maps.h"

#define UPLINK_STEPS 4   /* slots passed with one packet; the next goes on */
#define UPLINK_SPREAD_SLOTS 32  /* slots that a super-packet is laid into, twice what Go sees to (slotShift) */
#define UPLINK_WORK_BITS 40
#define UPLINK_SHARE_SHIFT 20

/* A client's turn at it. */
struct uplink_txn {
	struct uplink *uplink; /* NULL: there is no total */
	bool locked;           /* false: the bucket alone decides */
	__u64 queue_ns;        /* what the client has queued */
	__u64 charge_ns;
};

/* Takes a txn. A holder of the lock can be interrupted: who finds it locked for long
 * is admitted by the bucket alone, which nobody has to wait for. The slots add up to
 * less than its backlog for a while then. */
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
	txn.locked = lock_acquire(&l->lock);
	return txn;
}

static __always_inline void uplink_end(const struct uplink_txn *txn)
{
	if (txn->locked)
		lock_release(&txn->uplink->lock);
}

/* The work in a slot, ns. What is of an earlier round of the clock is done. */
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

/* The clock. Inside a slot it goes as fast as that would be passed if as many shared
 * it as the one before. */
static __always_inline __u64 uplink_clock(const struct uplink *l, __u64 now)
{
	const __u64 shift = l->slot_shift & 63, last = (1ULL << shift) - 1;
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
	l->share = (1U << UPLINK_SHARE_SHIFT) / l->sharers; /* once in a slot, not for each packet */
}

/* All queues are empty: whatever clients have on the clock is in the past. */
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
		return; /* a packet on another CPU was here first */
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
		uplink_share(l, passed >> (l->slot_shift & 63));
	l->vtime_at_ns = now - left;
}

/* How many clients want more than they get: those with work beyond this slot. */
static __always_inline __u64 uplink_sharers(const struct uplink *l)
{
	__u64 coming = uplink_work(l, l->slot + 1) >> (l->slot_shift & 63);

	if (coming < l->sharers)
		coming = l->sharers;
	return coming;
}

/* Whether a frame has room in its client's share. */
static __always_inline bool uplink_shares(struct uplink_txn *txn, __u64 finish_ns, struct bucket_cost cost,
					  bool small, __u64 now)
{
	struct uplink *l = txn->uplink;
	__u64 least_ns = FAIR_LEAST;

	uplink_advance(l, now);
	txn->queue_ns = finish_ns - uplink_clock(l, now);
	/* In the past, or of another clock. */
	if (txn->queue_ns > (__u64)ABI_UPLINK_SLOTS << (l->slot_shift & 63))
		txn->queue_ns = 0;
	if (!txn->queue_ns || small)
		least_ns += FAIR_EXTRA;
	least_ns *= bucket_ns(ABI_ADMIT_BYTES, l->speed.rate_ns_per_byte);
	return txn->queue_ns + cost.admit_ns <= least_ns ||
	       (txn->queue_ns + cost.admit_ns) * uplink_sharers(l) <= l->speed.burst_ns;
}

/* Charges a frame to the bucket, if it has room there and in its client's share. */
static __always_inline bool uplink_admit(struct uplink_txn *txn, __u64 finish_ns, const struct frame *f, __u64 now)
{
	const bool small = f->wire <= FAIR_SMALL_BYTES;
	struct uplink *l = txn->uplink;
	struct bucket_cost cost;
	__u64 total_ns;

	if (!l)
		return true;
	cost = bucket_cost(f, l->speed.rate_ns_per_byte);
	txn->charge_ns = cost.charge_ns;
	if (txn->locked && !uplink_shares(txn, finish_ns, cost, small, now))
		return false;
	total_ns = fair_total_ns(&l->speed);
	if (!txn->queue_ns || small)
		total_ns += l->speed.burst_ns / 4;
	return bucket_charge(&l->bucket, cost, total_ns, now);
}

/* The frame did not pass after all. */
static __always_inline void uplink_refund(const struct uplink_txn *txn)
{
	if (txn->uplink)
		__sync_fetch_and_add(&txn->uplink->bucket.tat_ns, -txn->charge_ns);
}

/* Lays work into the slots from a moment on. A super-packet reaches over many. */
static __always_inline void uplink_spread(struct uplink *l, __u64 start, __u64 ns)
{
	const __u64 shift = l->slot_shift & 63;
	__u64 slot = start >> shift, room = ((slot + 1) << shift) - start;

	if (ns > room) {
		/* All of them, some with nothing: the verifier would follow each way out. */
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

/* Puts what a frame costs behind what its client has queued. */
static __always_inline void uplink_queue(const struct uplink_txn *txn, __u64 *finish_ns, __u64 now)
{
	struct uplink *l = txn->uplink;
	__u64 start, finish, last;

	if (!txn->locked)
		return;
	start = uplink_clock(l, now) + txn->queue_ns;
	finish = start + txn->charge_ns;
	last = (l->slot + ABI_UPLINK_SLOTS - 1) << (l->slot_shift & 63);
	if (finish > last)
		finish = last;
	if (finish >> (l->slot_shift & 63) > l->last_slot)
		l->last_slot = finish >> (l->slot_shift & 63);
	uplink_spread(l, start, txn->charge_ns);
	*finish_ns = finish;
}
