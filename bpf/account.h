/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The account of a connected client, exact on any number of CPUs: what is counted has
 * passed, what has passed is counted, and the sum never exceeds the limit.
 *
 * No packet waits for another. One word, spent, decides about the limit, and one per
 * direction about the speed, both by compare-and-swap. With a lock there would be fewer
 * words, but see lock.h: its waiters would be delayed, or their packets dropped.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "branchless.h"
#include "bucket.h"
#include "compiler.h"
#include "dns.h"
#include "limiter.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "uplink.h"

/* What a frame is to the account. */
enum account_kind {
	ACCOUNT_FORWARDED, /* debited */
	ACCOUNT_LOCAL,     /* between the client and the router: free */
	ACCOUNT_DNS,       /* the same, and free up to a speed */
};

#define ACCOUNT_TRIES 8 /* each fails only because another CPU's packet passed */

static __always_inline bool account_closed(const struct packet *p)
{
	return READ_ONCE(p->account->exhausted_limit) == p->rule->limit_bytes;
}

/* The frame exceeds the limit. The limit is met when not even one segment fits: the
 * account is closed until its limit changes. A super-packet of which a segment would fit
 * is dropped alone: its sender retransmits less. No drop counter of the account has it,
 * as limit_drops says that the account has ended. */
static __always_inline enum reason account_full(const struct packet *p, __u64 spent, __u64 limit_bytes)
{
	if (spent + p->frame->segment > limit_bytes)
		WRITE_ONCE(p->account->exhausted_limit, limit_bytes);
	return DROP_LIMIT;
}

/* Debits a frame, unless other CPUs took what was left. */
static __always_inline enum reason account_debit(const struct packet *p, __u64 limit_bytes)
{
	struct account *a = p->account;

#pragma clang loop unroll(disable)
	for (int i = 0; i < ACCOUNT_TRIES; i++) {
		const __u64 spent = READ_ONCE(a->spent);

		if (spent + p->frame->wire > limit_bytes)
			return account_full(p, spent, limit_bytes);
		if (__sync_val_compare_and_swap(&a->spent, spent, spent + p->frame->wire) != spent)
			continue;
		__sync_fetch_and_add(&a->counter[p->dir].bytes, p->frame->wire);
		__sync_fetch_and_add(&a->counter[p->dir].packets, p->frame->segments);
		return PASS_FORWARDED;
	}
	return DROP_BUSY;
}

/* Charges a frame to the client's speed and to its share of the uplink, or to neither. */
static __always_inline enum reason account_admit(const struct packet *p)
{
	const struct speed *s = &p->rule->speed[p->dir];
	const struct bucket_cost cost = bucket_cost(p->frame, s->rate_ns_per_byte);
	struct uplink_txn txn = uplink_begin(p->dir);
	enum reason reason = PASS_FORWARDED;

	if (!uplink_admit(&txn, p)) {
		reason = DROP_UPLINK;
	} else if (!limiter_admit(p, s, cost)) {
		uplink_refund(&txn);
		reason = DROP_RATE;
	} else {
		uplink_queue(&txn, p);
	}
	uplink_end(&txn);
	return reason;
}

/* Forwards a frame within balance and speed. The speed is charged first, as it cannot be
 * refunded. It is not charged for what the limit drops, except when other CPUs exhaust
 * the limit in between. */
static __always_inline enum reason account_forward(const struct packet *p)
{
	const __u64 spent = READ_ONCE(p->account->spent);
	enum reason reason;

	if (spent + p->frame->wire > p->rule->limit_bytes)
		return account_full(p, spent, p->rule->limit_bytes);
	reason = account_admit(p);
	if (reason == PASS_FORWARDED)
		return account_debit(p, p->rule->limit_bytes);
	__sync_fetch_and_add(&p->account->rate_drops, 1);
	return reason;
}

/* Decides about a frame of an account, and counts it if it passes. *ended is whether
 * nothing more passes under this rule: account_ended is due. */
static __always_inline enum reason account_frame(const struct packet *p, enum account_kind kind, bool *ended)
{
	enum reason reason;

	if (p->now >= p->rule->deadline_ns)
		reason = DROP_DEADLINE;
	else if (account_closed(p))
		reason = DROP_LIMIT;
	else if (kind == ACCOUNT_LOCAL || (kind == ACCOUNT_DNS && dns_free(p)))
		reason = PASS_LOCAL;
	else
		reason = account_forward(p);
	if (p->dir == UPLOAD && (reason == PASS_FORWARDED || reason == PASS_LOCAL))
		p->account->last_seen_ns = p->now;
	*ended = reason == DROP_DEADLINE || (reason == DROP_LIMIT && account_closed(p));
	return reason;
}

/* Why nothing more passes. It is computed, so that the verifier knows no value of it, and
 * follows what comes after once. */
static __always_inline enum reason account_end_reason(const struct packet *p)
{
	_Static_assert(DROP_DEADLINE == DROP_LIMIT + 1, "next to each other");
	/* ABI_NO_LIMIT has the highest bit, and no time has. */
	return DROP_LIMIT + (__u32)(u64_gt(p->now + 1, p->rule->deadline_ns) & ~p->rule->deadline_ns >> 63);
}

/* The word that holds the last end of this kind that user space was notified of, */
static __always_inline __u64 *account_notified(struct account *a, enum reason why)
{
	return why == DROP_DEADLINE ? &a->notified_deadline : &a->notified_limit;
}

/* and the value of this end there. */
static __always_inline __u64 account_end(const struct rule *r, enum reason why)
{
	return why == DROP_DEADLINE ? r->deadline_ns : r->limit_bytes + 1;
}

/* Claims the notification of this end; false: it has been claimed before. */
static __always_inline bool account_end_once(const struct packet *p, enum reason why)
{
	__u64 *notified = account_notified(p->account, why), before = READ_ONCE(*notified);

	/* Another CPU may have met a newer limit; the notification is that one's then. */
	if (before == account_end(p->rule, why) || (why == DROP_LIMIT && !account_closed(p)))
		return false;
	return __sync_val_compare_and_swap(notified, before, account_end(p->rule, why)) == before;
}

static __always_inline long account_notify(const struct packet *p, enum reason why)
{
	struct event e = {
		.account = p->rule->account,
		.at_ns = p->now,
		.mac = p->frame->client,
		.kind = why == DROP_DEADLINE ? EVENT_DEADLINE : EVENT_EXHAUSTED,
	};

	return bpf_ringbuf_output(&events, &e, sizeof(e), 0);
}

/* Counts a frame of an ended account, dropped or passed as pre-auth, and notifies user
 * space of the end once. */
static __always_inline void account_ended(const struct packet *p, enum reason why, bool passed)
{
	struct account *a = p->account;

	if (!passed)
		__sync_fetch_and_add(why == DROP_DEADLINE ? &a->deadline_drops : &a->limit_drops, 1);
	else if (p->dir == UPLOAD)
		a->last_seen_ns = p->now;
	/* With the ring buffer full, the next frame notifies. */
	if (account_end_once(p, why) && account_notify(p, why))
		__sync_val_compare_and_swap(account_notified(a, why), account_end(p->rule, why), 0);
}
