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
#include "fair.h"
#include "maps.h"

#define UPLINK_STEPS 4   /* slots passed with one packet; the next goes on */
#define UPLINK_SPINS 64
#define UPLINK_REACH 32  /* slots that a super-packet is laid into, twice what Go sees to (slotShift) */
#define UPLINK_WORK_BITS 40
#define UPLINK_SHARE_SHIFT 20

/* Set when there is a total; the kernel drops the code otherwise. */
volatile const __u8 uplink_mode = 0;

/* A client's part in it, while the uplink is locked. */
struct uplink_turn {
	struct uplink *uplink; /* NULL: there is no total */
	__u64 queue_ns;        /* what the client has queued */
	__u64 charge_ns;
};

/* The uplink of a direction, locked; NULL when there is no total. False: it stayed
 * locked. */
static __always_inline bool uplink_lock(enum direction dir, struct uplink **uplink)
{
	const __u32 key = dir;
	struct uplink *l;

	*uplink = NULL;
	if (!uplink_mode)
		return true;
	l = bpf_map_lookup_elem(&uplinks, &key);
	if (!l || !l->speed.rate_ns_per_byte)
		return true;
#pragma clang loop unroll(disable)
	for (int i = 0; i < UPLINK_SPINS; i++) {
		if (!__sync_lock_test_and_set(&l->lock, 1)) {
			*uplink = l;
			return true;
		}
	}
	return false;
}

static __always_inline void uplink_unlock(struct uplink *l)
{
	if (l)
		__sync_lock_test_and_set(&l->lock, 0);
}

/* The work in a slot, ns. What is of an earlier round of the clock is done. */
static __always_inline __u64 uplink_work(const struct uplink *l, __u64 slot)
{
	__u64 work = l->work[slot & (ABI_UPLINK_SLOTS - 1)];
	__u64 round = slot / ABI_UPLINK_SLOTS << UPLINK_WORK_BITS;

	work ^= round;
	return work & (fair_above(work >> UPLINK_WORK_BITS, 0) - 1);
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
	__u64 since = now - l->reckoned_ns;

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
	if (l->tat_ns)
		l->slot = l->end + 1;
	l->tat_ns = 0;
	uplink_share(l, 1);
	l->reckoned_ns = now;
}

/* Passes the slots whose work is done by now. */
static __always_inline void uplink_advance(struct uplink *l, __u64 now)
{
	__u64 left = now - l->reckoned_ns, passed = 0;

	if (l->tat_ns <= now) {
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
	l->reckoned_ns = now - left;
}

/* How many clients want more than they get: those with work beyond this slot. */
static __always_inline __u64 uplink_sharers(const struct uplink *l)
{
	__u64 coming = uplink_work(l, l->slot + 1) >> (l->slot_shift & 63);

	if (coming < l->sharers)
		coming = l->sharers;
	return coming;
}

/* Whether a frame has room in its client's share. It charges nothing. */
static __always_inline bool uplink_fits(struct uplink_turn *turn, __u64 finish_ns, const struct frame *f, __u64 now)
{
	struct uplink *l = turn->uplink;
	struct bucket_cost cost;
	__u64 packet_ns, most_ns, least_ns, total_ns, backlog_ns;

	if (!l)
		return true;
	uplink_advance(l, now);
	cost = bucket_cost(f, l->speed.rate_ns_per_byte);
	packet_ns = bucket_ns(ABI_ADMIT_BYTES, l->speed.rate_ns_per_byte);
	turn->charge_ns = cost.charge_ns;
	turn->queue_ns = finish_ns - uplink_clock(l, now);
	/* In the past, or of another clock. */
	if (turn->queue_ns > (__u64)ABI_UPLINK_SLOTS << (l->slot_shift & 63))
		turn->queue_ns = 0;
	most_ns = l->speed.burst_ns;
	least_ns = FAIR_LEAST * packet_ns;
	total_ns = 2 * l->speed.burst_ns;
	if (!turn->queue_ns || f->wire <= FAIR_SMALL_BYTES) {
		least_ns += FAIR_EXTRA * packet_ns;
		total_ns += l->speed.burst_ns / 4;
	}
	backlog_ns = l->tat_ns > now ? l->tat_ns - now : 0;
	if (backlog_ns + cost.admit_ns > total_ns)
		return false;
	return turn->queue_ns + cost.admit_ns <= least_ns ||
	       (turn->queue_ns + cost.admit_ns) * uplink_sharers(l) <= most_ns;
}

/* Lays work into the slots from a moment on. A super-packet reaches over many. */
static __always_inline void uplink_lay(struct uplink *l, __u64 start, __u64 ns)
{
	const __u64 shift = l->slot_shift & 63;
	__u64 slot = start >> shift, room = ((slot + 1) << shift) - start;

	if (ns > room) {
		/* All of them, some with nothing: the verifier would follow each way out. */
#pragma clang loop unroll(disable)
		for (int i = 0; i < UPLINK_REACH; i++) {
			const __u64 part = fair_min(ns, room);

			uplink_add(l, slot++, part);
			ns -= part;
			room = 1ULL << shift;
		}
	}
	uplink_add(l, slot, ns);
}

/* Puts what a frame costs behind what its client has queued. */
static __always_inline void uplink_charge(struct uplink_turn *turn, __u64 *finish_ns, __u64 now)
{
	struct uplink *l = turn->uplink;
	__u64 start, finish, last;

	if (!l)
		return;
	start = uplink_clock(l, now) + turn->queue_ns;
	finish = start + turn->charge_ns;
	last = (l->slot + ABI_UPLINK_SLOTS - 1) << (l->slot_shift & 63);
	if (finish > last)
		finish = last;
	if (finish >> (l->slot_shift & 63) > l->end)
		l->end = finish >> (l->slot_shift & 63);
	uplink_lay(l, start, turn->charge_ns);
	l->tat_ns = (l->tat_ns > now ? l->tat_ns : now) + turn->charge_ns;
	*finish_ns = finish;
}
