/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The account of a connected client. Limit, bucket and counters change together
 * under the account's lock, so that they are exact on any number of CPUs: what is
 * counted has passed, what has passed is counted, and the bucket pays for nothing
 * that the limit stopped.
 *
 * The lock is a word and not a bpf_spin_lock, which turns interrupts off and on
 * again: half of what a packet costs, and needless where only softirqs meet. Nor
 * could its map be mapped into memory. A holder can be preempted where softirqs can
 * (PREEMPT_RT), so that waiting for it has an end.
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

#define ACCOUNT_SPINS 64 /* some microseconds when contended, where a holder takes 50 ns */

/* Exchanging is a full barrier (kernel doc: BPF instruction set), so what one holder
 * wrote the next one sees. */
static __always_inline bool account_trylock(struct usage *u)
{
	return !__sync_lock_test_and_set(&u->lock, 1);
}

/* False: the account stayed locked. */
static __always_inline bool account_lock(struct usage *u)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < ACCOUNT_SPINS; i++)
		if (account_trylock(u))
			return true;
	return false;
}

static __always_inline void account_unlock(struct usage *u)
{
	__sync_lock_test_and_set(&u->lock, 0);
}

static __always_inline bool account_fits(const struct usage *u, __u32 bytes, __u64 limit_bytes)
{
	return u->passed[UPLOAD].bytes + u->passed[DOWNLOAD].bytes + bytes <= limit_bytes;
}

/* Closes the account, once and for all of this limit. */
static __always_inline void account_close(struct usage *u, __u64 limit_bytes)
{
	u->ended_limit = limit_bytes;
	u->told &= ~TOLD_LIMIT;
}

static __always_inline bool account_closed(const struct usage *u, const struct rule *r)
{
	return u->ended_limit == r->limit_bytes;
}

static __always_inline bool account_in_speed(struct usage *u, const struct speed *s, enum direction dir,
					     const struct fair_flow *flow, struct bucket_cost cost, __u64 now)
{
	if (flow->fair)
		return fair_admit(flow, &u->bucket[dir], s, cost, now);
	return bucket_admit(&u->bucket[dir], s, cost, now);
}

/* Charges a frame to the client's speed and to its share of the uplink, or to neither. */
static __always_inline enum reason account_admit(struct usage *u, const struct speed *s, enum direction dir,
						 const struct frame *f, const struct fair_flow *flow, __u64 now)
{
	const struct bucket_cost cost = bucket_cost(f, s->rate_ns_per_byte);
	struct uplink_turn turn = {};
	enum reason reason = PASS_FORWARDED;

	if (!uplink_lock(dir, &turn.uplink))
		return DROP_BUSY;
	if (!uplink_fits(&turn, u->uplink_ns[dir], f, now))
		reason = DROP_UPLINK;
	else if (!account_in_speed(u, s, dir, flow, cost, now))
		reason = DROP_RATE;
	else
		uplink_charge(&turn, &u->uplink_ns[dir], now);
	uplink_unlock(turn.uplink);
	return reason;
}

/* Decides about a frame of an account, and counts it if it passes. *ended tells
 * that nothing more passes under this rule: account_ended is due. */
static __always_inline enum reason account_frame(struct usage *u, const struct rule *r, enum direction dir,
						 const struct frame *f, const struct fair_flow *flow, bool local,
						 __u64 now, bool *ended)
{
	enum reason reason;

	*ended = false;
	if (!account_lock(u))
		return DROP_BUSY;
	if (now >= r->deadline_ns) {
		reason = DROP_DEADLINE;
	} else if (account_closed(u, r)) {
		reason = DROP_LIMIT;
	} else if (local) {
		reason = PASS_LOCAL;
	} else if (!account_fits(u, f->wire, r->limit_bytes)) {
		/* The limit is met when not even a segment of the frame fits. A
		 * super-packet that is too long while a segment would do is dropped
		 * alone: its sender comes back with less. It is in no drop counter of
		 * the account: limit_drops says that the account has ended. */
		reason = DROP_LIMIT;
		if (!account_fits(u, f->segment, r->limit_bytes))
			account_close(u, r->limit_bytes);
	} else {
		reason = account_admit(u, &r->speed[dir], dir, f, flow, now);
	}
	if (reason == PASS_FORWARDED) {
		u->passed[dir].bytes += f->wire;
		u->passed[dir].packets += f->segments;
	} else if (reason == DROP_RATE || reason == DROP_UPLINK) {
		u->rate_drops++;
	}
	if (reason == PASS_FORWARDED || reason == PASS_LOCAL)
		u->last_seen_ns = now;
	*ended = reason == DROP_DEADLINE || (reason == DROP_LIMIT && account_closed(u, r));
	account_unlock(u);
	return reason;
}

/* Whether this end is still to be told; marks it as told. Under the lock. */
static __always_inline bool account_claim(struct usage *u, const struct rule *r, enum reason why)
{
	__u32 bit = why == DROP_DEADLINE ? TOLD_DEADLINE : TOLD_LIMIT;

	if (why == DROP_DEADLINE && u->ended_deadline != r->deadline_ns) {
		u->ended_deadline = r->deadline_ns;
		u->told &= ~TOLD_DEADLINE;
	}
	if (u->told & bit)
		return false;
	/* Another CPU may have met a newer limit meanwhile; that end is its to tell. */
	if (why == DROP_LIMIT && !account_closed(u, r))
		return false;
	u->told |= bit;
	return true;
}

/* The event found no room: the next frame tells. */
static __always_inline void account_unclaim(struct usage *u, enum reason why)
{
	if (!account_trylock(u))
		return; /* the next reading finds the end */
	u->told &= why == DROP_DEADLINE ? ~TOLD_DEADLINE : ~TOLD_LIMIT;
	account_unlock(u);
}

static __always_inline long account_tell(const struct rule *r, enum reason why, const struct frame *f, __u64 now)
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
static __always_inline void account_ended(struct usage *u, const struct rule *r, enum reason why, bool passed,
					  const struct frame *f, __u64 now)
{
	bool claimed;

	if (passed)
		u->last_seen_ns = now;
	else
		__sync_fetch_and_add(why == DROP_DEADLINE ? &u->deadline_drops : &u->limit_drops, 1);
	if (!account_trylock(u))
		return; /* the next frame tells */
	claimed = account_claim(u, r, why);
	account_unlock(u);
	if (claimed && account_tell(r, why, f, now))
		account_unclaim(u, why);
}
