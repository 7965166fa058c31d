/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The account of a connected client, exact on any number of CPUs: what is counted
 * has passed, what has passed is counted, and it never adds up to more than the limit.
 *
 * No packet waits for another. One word, spent, decides about the limit, and one per
 * direction about the speed, both by compare-and-swap. A lock would do it in fewer
 * words, but a bpf_spin_lock turns interrupts off and on again, which costs more than
 * all else here, and of a lock without that the holder can be interrupted: then
 * others wait, or drop what nobody should lose.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "fair.h"
#include "maps.h"
#include "parse.h"
#include "uplink.h"

#define ACCOUNT_TRIES 8 /* each fails only because another CPU's packet passed */

static __always_inline __u64 account_spent(const struct account *u)
{
	return *(const volatile __u64 *)&u->spent;
}

static __always_inline bool account_closed(const struct account *u, const struct rule *r)
{
	return *(const volatile __u64 *)&u->exhausted_limit == r->limit_bytes;
}

/* Does not fit. The limit is met when not even a segment of the frame fits: the
 * account is closed, once and for all of this limit. A super-packet that is too long
 * while a segment would do is dropped alone: its sender comes back with less. It is
 * in no drop counter of the account: limit_drops says that the account has ended. */
static __always_inline enum reason account_full(struct account *u, __u64 spent, __u32 segment, __u64 limit_bytes)
{
	if (spent + segment > limit_bytes)
		*(volatile __u64 *)&u->exhausted_limit = limit_bytes;
	return DROP_LIMIT;
}

/* Debits a frame, or finds that other CPUs took what was left. */
static __always_inline enum reason account_debit(struct account *u, enum direction dir, const struct frame *f,
						 __u64 limit_bytes)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < ACCOUNT_TRIES; i++) {
		const __u64 spent = account_spent(u);

		if (spent + f->wire > limit_bytes)
			return account_full(u, spent, f->segment, limit_bytes);
		if (__sync_val_compare_and_swap(&u->spent, spent, spent + f->wire) != spent)
			continue;
		__sync_fetch_and_add(&u->counter[dir].bytes, f->wire);
		__sync_fetch_and_add(&u->counter[dir].packets, f->segments);
		return PASS_FORWARDED;
	}
	return DROP_BUSY;
}

static __always_inline bool account_in_speed(struct account *u, const struct speed *s, enum direction dir,
					     const struct fair_flow *flow, struct bucket_cost cost, __u64 now)
{
	if (flow->fair)
		return fair_admit(flow, &u->bucket[dir], s, cost, now);
	return bucket_admit(&u->bucket[dir], s, cost, s->burst_ns, now);
}

/* Charges a frame to the client's speed and to its share of the uplink, or to neither. */
static __always_inline enum reason account_admit(struct account *u, const struct speed *s, enum direction dir,
						 const struct frame *f, const struct fair_flow *flow, __u64 now)
{
	const struct bucket_cost cost = bucket_cost(f, s->rate_ns_per_byte);
	struct uplink_txn txn = uplink_begin(dir);
	enum reason reason = PASS_FORWARDED;

	if (!uplink_admit(&txn, u->uplink_ns[dir], f, now)) {
		reason = DROP_UPLINK;
	} else if (!account_in_speed(u, s, dir, flow, cost, now)) {
		uplink_refund(&txn);
		reason = DROP_RATE;
	} else {
		uplink_queue(&txn, &u->uplink_ns[dir], now);
	}
	uplink_end(&txn);
	return reason;
}

/* A frame that is forwarded, unless there is no balance or it comes too fast. The
 * speed is asked first: of its answer nothing can be taken back, and it must not pay
 * for what the limit stops, but in the moment when other CPUs meet that. */
static __always_inline enum reason account_forward(struct account *u, const struct rule *r, enum direction dir,
						   const struct frame *f, const struct fair_flow *flow, __u64 now)
{
	const __u64 spent = account_spent(u);
	enum reason reason;

	if (spent + f->wire > r->limit_bytes)
		return account_full(u, spent, f->segment, r->limit_bytes);
	reason = account_admit(u, &r->speed[dir], dir, f, flow, now);
	if (reason == PASS_FORWARDED)
		return account_debit(u, dir, f, r->limit_bytes);
	__sync_fetch_and_add(&u->rate_drops, 1);
	return reason;
}

/* Decides about a frame of an account, and counts it if it passes. *ended tells
 * that nothing more passes under this rule: account_ended is due. */
static __always_inline enum reason account_frame(struct account *u, const struct rule *r, enum direction dir,
						 const struct frame *f, const struct fair_flow *flow, bool local,
						 __u64 now, bool *ended)
{
	enum reason reason;

	if (now >= r->deadline_ns)
		reason = DROP_DEADLINE;
	else if (account_closed(u, r))
		reason = DROP_LIMIT;
	else if (local)
		reason = PASS_LOCAL;
	else
		reason = account_forward(u, r, dir, f, flow, now);
	if (reason == PASS_FORWARDED || reason == PASS_LOCAL)
		u->last_seen_ns = now;
	*ended = reason == DROP_DEADLINE || (reason == DROP_LIMIT && account_closed(u, r));
	return reason;
}

/* Where it is kept which end user space was told of, and what this one is called there. */
static __always_inline __u64 *account_told(struct account *u, enum reason why)
{
	return why == DROP_DEADLINE ? &u->notified_deadline : &u->notified_limit;
}

static __always_inline __u64 account_end(const struct rule *r, enum reason why)
{
	return why == DROP_DEADLINE ? r->deadline_ns : r->limit_bytes + 1;
}

/* Whether this end is still to be told; marks it as told. */
static __always_inline bool account_end_once(struct account *u, const struct rule *r, enum reason why)
{
	__u64 *told = account_told(u, why), before = *(volatile __u64 *)told;

	/* Another CPU may have met a newer limit meanwhile; that end is its to tell. */
	if (before == account_end(r, why) || (why == DROP_LIMIT && !account_closed(u, r)))
		return false;
	return __sync_val_compare_and_swap(told, before, account_end(r, why)) == before;
}

static __always_inline long account_notify(const struct rule *r, enum reason why, const struct frame *f, __u64 now)
{
	struct event e = {
		.account = r->account,
		.at_ns = now,
		.mac = f->client,
		.kind = why == DROP_DEADLINE ? EVENT_DEADLINE : EVENT_EXHAUSTED,
	};

	return bpf_ringbuf_output(&events, &e, sizeof(e), 0);
}

/* Counts a frame of an ended account, that was dropped or passed as an allowance,
 * and tells user space of the end once. */
static __always_inline void account_ended(struct account *u, const struct rule *r, enum reason why, bool passed,
					  const struct frame *f, __u64 now)
{
	if (passed)
		u->last_seen_ns = now;
	else
		__sync_fetch_and_add(why == DROP_DEADLINE ? &u->deadline_drops : &u->limit_drops, 1);
	/* When the event finds no room, the next frame tells. */
	if (account_end_once(u, r, why) && account_notify(r, why, f, now))
		__sync_val_compare_and_swap(account_told(u, why), account_end(r, why), 0);
}
