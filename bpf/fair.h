/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fair phantom queues. An account's bucket holds its rate, and each of its flows has a
 * queue in it, of charges and never of packets. The queues drain as fair queueing would
 * drain real ones: those that are not empty share the rate evenly. One virtual clock does
 * that for all of them. It advances by 1/active of real time, so a queue is one time on
 * it, when it will be empty; and all queues together are as long as the bucket's
 * backlog, to the nanosecond.
 *
 * A flow is held to the burst of its own share. A flow that takes all it can get (bbr,
 * UDP) fills its own queue and slows no other; a flow that sends little finds its queue
 * empty.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "branchless.h"
#include "bucket.h"
#include "config.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "share.h"

#define FAIR_STEPS 2 /* queues that one packet finds emptied, where it fills at most one */
#define FAIR_NEVER (1ULL << 62)
#define FAIR_BUSY_SHIFT 61 /* above any time on the clock */
#define FAIR_SAMPLE_NS 100000000LL /* a slow start comes and goes within three of these */
#define FAIR_BACKLOGGED 4 /* packets in the queue of a flow that wants more than its share */

/* 2^64 / golden ratio: multiplicative hashing, Knuth, TAOCP 3, 6.4. */
#define FAIR_MULTIPLIER 0x9e3779b97f4a7c15ULL

static __always_inline __u64 fair_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * FAIR_MULTIPLIER;
	return hash ^ hash >> 32;
}

/* Whether ports follow the IP header (of ESP, the SPI). Of fragments only the first has
 * them, and all are to stay together. */
static __always_inline bool fair_has_ports(const struct frame *f)
{
	return f->ip && !f->fragment &&
	       (f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP || f->protocol == IPPROTO_SCTP ||
		f->protocol == IPPROTO_ESP);
}

static __always_inline __u32 fair_hash(const struct packet *p)
{
	const struct frame *f = p->frame;
	__u64 hash = config_fair_seed, words[4];
	__u32 ports = 0;

	if (fair_has_ports(f))
		parse_ports(p->skb, f, &ports);
	if (p->dir == UPLOAD)
		ports = ports << 16 | ports >> 16;
	__builtin_memcpy(&words[0], &f->self, sizeof(f->self));
	__builtin_memcpy(&words[2], &f->peer, sizeof(f->peer));
	hash = fair_mix(hash, (__u64)ports << 8 | f->protocol);
	for (int i = 0; i < 4; i++)
		hash = fair_mix(hash, words[i]);
	return hash;
}

/* The flow of a frame that is limited. */
static __always_inline struct flow fair_flow(const struct packet *p)
{
	const struct rule *r = p->rule;
	struct flow flow = {};

	if (!config_fair || !(r->speed[UPLOAD].rate_ns_per_byte | r->speed[DOWNLOAD].rate_ns_per_byte))
		return flow;
	flow.all = bpf_map_lookup_elem(&flows, &r->flows_index);
	if (!flow.all)
		return flow;
	if (r->speed[p->dir].rate_ns_per_byte)
		flow.fair = &flow.all->fair[p->dir];
	flow.tag = fair_hash(p);
	flow.not_tcp = p->frame->protocol ^ IPPROTO_TCP;
	barrier_var(flow.not_tcp);
	flow.small = p->frame->wire <= SHARE_SMALL_BYTES;
	return flow;
}

/* Counts the queues that are longer. */
static __always_inline __u32 fair_longer_than(const struct fair *q, __u64 ns)
{
	const __u64 vtime_ns = q->vtime_ns + ns;
	__u64 queues = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < ABI_FLOWS; i++)
		queues += u64_gt(q->finish_ns[i], vtime_ns);
	return queues;
}

/* Counts the queues that are not empty, and finds the shortest of them. */
static __always_inline void fair_scan(struct fair *q)
{
	const __u64 vtime_ns = q->vtime_ns;
	__u64 shortest_ns = FAIR_NEVER, active = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < ABI_FLOWS; i++) {
		const __u64 queue_ns = q->finish_ns[i] - vtime_ns;
		const __u64 busy = u64_gt(q->finish_ns[i], vtime_ns);

		active += busy;
		shortest_ns = u64_min(shortest_ns, (queue_ns & -busy) | (FAIR_NEVER & (busy - 1)));
	}
	q->active = active;
	q->first_empty_ns = vtime_ns + shortest_ns;
}

/* All queues are empty. */
static __always_inline void fair_empty(struct fair *q, __u64 now)
{
	q->vtime_ns = q->last_empty_ns;
	q->vtime_at_ns = now;
	q->active = 0;
}

/* Advances the clock to now. When a queue empties, the others drain faster from there
 * on. Real time that makes no whole virtual ns is left for the next packet. */
static __always_inline void fair_advance(struct fair *q, __u64 now)
{
	__u64 left = now - q->vtime_at_ns, until_empty, step;

	if ((__s64)left <= 0)
		return; /* a packet on another CPU was first */
#pragma clang loop unroll(disable)
	for (int i = 0; i < FAIR_STEPS; i++) {
		until_empty = (q->first_empty_ns - q->vtime_ns) * q->active;
		if (!q->active || left < until_empty)
			break;
		left -= until_empty;
		q->vtime_ns = q->first_empty_ns;
		fair_scan(q);
	}
	step = q->first_empty_ns - q->vtime_ns;
	if (left < step * q->active)
		step = share_of(left, q->active);
	if (!q->active)
		step = left = 0;
	q->vtime_ns += step;
	q->vtime_at_ns = now - (left - step * q->active);
}

/* Counts the backlogged flows, once in FAIR_SAMPLE_NS. */
static __always_inline void fair_sample(struct fair *q, __u64 backlogged_ns, __u64 now)
{
	const __s64 since = now - q->sampled_ns;

	if (since < FAIR_SAMPLE_NS)
		return;
	q->backlogged[2] = since < ABI_FLOW_SAMPLES * FAIR_SAMPLE_NS ? q->backlogged[1] : 0;
	q->backlogged[1] = since < ABI_FLOW_SAMPLES * FAIR_SAMPLE_NS ? q->backlogged[0] : 0;
	q->backlogged[0] = fair_longer_than(q, backlogged_ns);
	q->sampled_ns = now;
}

/* How many flows share the rate: the most of the last samples. */
static __always_inline __u32 fair_sharers(const struct fair *q)
{
	__u32 most = 1;

	for (int i = 0; i < ABI_FLOW_SAMPLES; i++)
		if (q->backlogged[i] > most)
			most = q->backlogged[i];
	return most;
}

static __always_inline __u64 fair_index(__u64 i)
{
	return u64_index(i, ABI_FLOWS);
}

/* The queue of a flow: its own, else the one of its set that has been empty longest,
 * else a shared one. */
static __always_inline __u64 fair_queue(const struct fair *q, __u32 tag)
{
	const __u64 home = tag % ABI_FLOWS;
	__u64 best = FAIR_NEVER;

	if (q->tag[home] == tag)
		return home;
#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < ABI_FLOW_WAYS; i++) {
		const __u64 finish = q->finish_ns[fair_index(home ^ i)];
		const __u64 foreign = u64_gt(q->tag[fair_index(home ^ i)] ^ tag, 0);
		const __u64 busy = u64_gt(finish, q->vtime_ns);
		const __u64 rank = (busy << FAIR_BUSY_SHIFT | finish | ABI_FLOW_WAYS) & -(__u64)ABI_FLOW_WAYS;

		best = u64_min(best, (rank & -foreign) + i);
	}
	return home ^ (best % ABI_FLOW_WAYS);
}

/* Brings the queues to now. */
static __always_inline void fair_renew(struct fair *q, struct bucket *b, const struct speed *s, __u64 now)
{
	if (bucket_renew(b, s, now) || b->tat_ns <= now)
		fair_empty(q, now);
	else
		fair_advance(q, now);
}

/* The length of a queue. */
static __always_inline __u64 fair_queued(const struct fair *q, __u64 queue)
{
	const __u64 finish = q->finish_ns[fair_index(queue)];

	return finish > q->vtime_ns ? finish - q->vtime_ns : 0;
}

/* An empty queue becomes this flow's. */
static __always_inline void fair_claim_queue(struct fair *q, __u64 queue, __u32 tag, __u64 finish_ns)
{
	q->tag[fair_index(queue)] = tag;
	if (!q->active || finish_ns < q->first_empty_ns)
		q->first_empty_ns = finish_ns;
	q->active++;
}

/* Appends a charge to a queue that is queue_ns long. */
static __always_inline void fair_charge(const struct flow *flow, __u64 queue, __u64 queue_ns, __u64 charge_ns)
{
	struct fair *q = flow->fair;
	const __u64 finish_ns = q->vtime_ns + queue_ns + charge_ns;

	if (!queue_ns)
		fair_claim_queue(q, queue, flow->tag, finish_ns);
	q->finish_ns[fair_index(queue)] = finish_ns;
	if (finish_ns > q->last_empty_ns)
		q->last_empty_ns = finish_ns;
}
