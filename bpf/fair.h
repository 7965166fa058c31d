/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fair phantom queues: an account's bucket holds its rate, and each of its flows
 * has a queue in it, of charges and never of packets. The queues drain as fair
 * queueing would drain real ones: those that are not empty share the rate evenly.
 * One virtual clock reckons that for all of them. It advances by 1/active of real
 * time, so that a queue is one moment on it, when it will be empty; and all queues
 * together are as long as the bucket's backlog, to the nanosecond.
 *
 * A flow is held to the burst of its own share. One that takes what it can get
 * (bbr, UDP) fills its own queue, and no other flow feels it; and one that sends
 * little finds its queue empty.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "config.h"
#include "maps.h"
#include "parse.h"

#define FAIR_STEPS 2 /* queues found empty with one packet, which fills at most one */
#define FAIR_SPINS 16 /* some hundred ns, where a holder takes 50 */
#define FAIR_NEVER (1ULL << 62)
#define FAIR_BUSY_SHIFT 61 /* above any moment on the clock */
#define FAIR_SAMPLE_NS 100000000LL /* a slow start comes and goes within three of these */
#define FAIR_SMALL_BYTES 256       /* SYN, ACK, DNS, echo */
/* In packets of ABI_ADMIT_BYTES: */
#define FAIR_LEAST 8 /* what every flow may have in its queue */
#define FAIR_EXTRA 6 /* and small packets, and the first of a flow, beyond */
#define FAIR_HEAVY 4 /* what a flow has in its queue that wants more than its share */
/* And for flows that are steered, see rwnd.h: */
#define FAIR_STEERED 4       /* what a flow is steered to at least */
#define FAIR_BEYOND 2        /* what it may have beyond what it is steered to */
#define FAIR_STEERED_HEAVY 2 /* FAIR_HEAVY, as a steered queue is never full */

#define FAIR_SHARE_SHIFT 20 /* times the longest backlog this fits 64 bits */
#define FAIR_SHARES 64      /* more than ABI_FLOWS, and a power of two */

#define FAIR_1(n) [n] = (1U << FAIR_SHARE_SHIFT) / (n)
#define FAIR_4(n) FAIR_1(n), FAIR_1(n + 1), FAIR_1(n + 2), FAIR_1(n + 3)
#define FAIR_16(n) FAIR_4(n), FAIR_4(n + 4), FAIR_4(n + 8), FAIR_4(n + 12)

static const __u32 fair_shares[FAIR_SHARES] = {FAIR_16(1), FAIR_16(17)};

/* Which flow a frame is of, and where that is queued. */
struct fair_flow {
	struct fair *fair; /* NULL: the bucket alone decides */
	struct flows *all; /* NULL: no direction has queues */
	__u32 tag;         /* the same in both directions */
	__u32 no_tcp;      /* 0: TCP. A condition would have the verifier take both through the account */
	bool small;
};

/* ns / n, rounded down; 0 for n = 0. */
static __always_inline __u64 fair_share(__u64 ns, __u32 n)
{
	return ns * fair_shares[n & (FAIR_SHARES - 1)] >> FAIR_SHARE_SHIFT;
}

static __always_inline __u64 fair_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* Whether the packet tells ports right after its IP header (of ESP, the SPI). Of
 * fragments only the first does, and they are to stay together. */
static __always_inline bool fair_has_ports(const struct frame *f)
{
	return f->ip && !f->fragment &&
	       (f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP || f->protocol == IPPROTO_SCTP ||
		f->protocol == IPPROTO_ESP);
}

static __always_inline __u32 fair_hash(struct __sk_buff *skb, enum direction dir, const struct frame *f)
{
	__u64 hash = config_fair_seed, words[4];
	__u32 ports = 0;

	if (fair_has_ports(f))
		parse_ports(skb, f, &ports);
	if (dir == UPLOAD)
		ports = ports << 16 | ports >> 16;
	__builtin_memcpy(&words[0], &f->self, sizeof(f->self));
	__builtin_memcpy(&words[2], &f->peer, sizeof(f->peer));
	hash = fair_mix(hash, (__u64)ports << 8 | f->protocol);
	for (int i = 0; i < 4; i++)
		hash = fair_mix(hash, words[i]);
	return hash;
}

static __always_inline struct fair_flow fair_flow(struct __sk_buff *skb, enum direction dir, const struct frame *f,
						  const struct rule *r, bool local)
{
	struct fair_flow flow = {};

	if (!config_fair || local || !(r->speed[UPLOAD].rate_ns_per_byte | r->speed[DOWNLOAD].rate_ns_per_byte))
		return flow;
	flow.all = bpf_map_lookup_elem(&flows, &r->flows_index);
	if (!flow.all)
		return flow;
	if (r->speed[dir].rate_ns_per_byte)
		flow.fair = &flow.all->fair[dir];
	flow.tag = fair_hash(skb, dir, f);
	flow.no_tcp = f->protocol ^ IPPROTO_TCP;
	asm("" : "+r"(flow.no_tcp));
	flow.small = f->wire <= FAIR_SMALL_BYTES;
	return flow;
}

/* 1 if a > b, for numbers less than 2^63 apart. Of a comparison the compiler would
 * make a branch, and the verifier would follow both sides at every turn of a loop. */
static __always_inline __u64 u64_gt(__u64 a, __u64 b)
{
	__u64 sign = b - a;

	asm("" : "+r"(sign)); /* the compiler must not know where it is from, */
	sign >>= 63;
	asm("" : "+r"(sign)); /* nor that it is one bit */
	return sign;
}

static __always_inline __u64 u64_min(__u64 a, __u64 b)
{
	return b + ((a - b) & -u64_gt(b, a));
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

/* Finds out which queues are not empty. */
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

/* Advances the clock to now. Where a queue empties the others drain faster from
 * there on. Real time that makes no whole ns of the clock is kept for the next packet. */
static __always_inline void fair_advance(struct fair *q, __u64 now)
{
	__u64 left = now - q->vtime_at_ns, until_next, step;

	if ((__s64)left <= 0)
		return; /* a packet on another CPU was here first */
#pragma clang loop unroll(disable)
	for (int i = 0; i < FAIR_STEPS; i++) {
		until_next = (q->first_empty_ns - q->vtime_ns) * q->active;
		if (!q->active || left < until_next)
			break;
		left -= until_next;
		q->vtime_ns = q->first_empty_ns;
		fair_scan(q);
	}
	step = q->first_empty_ns - q->vtime_ns;
	if (left < step * q->active)
		step = fair_share(left, q->active);
	if (!q->active)
		step = left = 0;
	q->vtime_ns += step;
	q->vtime_at_ns = now - (left - step * q->active);
}

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

/* How many flows share the rate. */
static __always_inline __u32 fair_sharers(const struct fair *q)
{
	__u32 most = 1;

	for (int i = 0; i < ABI_FLOW_SAMPLES; i++)
		if (q->backlogged[i] > most)
			most = q->backlogged[i];
	return most;
}

/* An index that the verifier believes: masked in the instruction before its use, so
 * that no bound is lost on the stack (before 5.16 the verifier forgets them there). */
static __always_inline __u64 fair_index(__u64 i)
{
	asm("" : "+r"(i));
	return i & (ABI_FLOWS - 1);
}

/* The queue of a flow: its own, else that of its set which has been empty longest,
 * else it shares one. */
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

/* How long a queue is. */
static __always_inline __u64 fair_queued(const struct fair *q, __u64 queue)
{
	const __u64 finish = q->finish_ns[fair_index(queue)];

	return finish > q->vtime_ns ? finish - q->vtime_ns : 0;
}

static __always_inline bool fair_steered(const struct fair *q, __u64 queue)
{
	return config_tcp_window_clamp && q->clamped & 1U << queue;
}

/* The burst that steered flows share: a sender that waits for its timer, 200 ms in
 * Linux, is to find its queue not empty yet. */
static __always_inline __u64 fair_steered_ns(const struct speed *s)
{
	return s->burst_ns + s->burst_ns / 4;
}

static __always_inline bool fair_fits(const struct fair_flow *flow, const struct speed *s, struct bucket_cost cost,
				      __u64 packet_ns, __u64 queue, __u64 queue_ns)
{
	const bool steered = fair_steered(flow->fair, queue);
	__u64 most_ns = fair_share(steered ? fair_steered_ns(s) : s->burst_ns, fair_sharers(flow->fair));

	if (most_ns < FAIR_LEAST * packet_ns)
		most_ns = FAIR_LEAST * packet_ns;
	if (steered)
		most_ns += FAIR_BEYOND * packet_ns;
	if (!queue_ns || flow->small)
		most_ns += FAIR_EXTRA * packet_ns;
	return queue_ns + cost.admit_ns <= most_ns;
}

/* What all flows may have queued together. */
static __always_inline __u64 fair_total_ns(const struct speed *s)
{
	return 2 * s->burst_ns;
}

/* An empty queue is taken over by another flow. */
static __always_inline void fair_claim_queue(struct fair *q, __u64 queue, __u32 tag)
{
	if (config_tcp_window_clamp && q->tag[fair_index(queue)] != tag) {
		q->greedy &= ~(1U << queue);
		q->clamped &= ~(1U << queue);
	}
	q->tag[fair_index(queue)] = tag;
}

static __always_inline void fair_charge(const struct fair_flow *flow, __u64 queue, __u64 queue_ns, __u64 backlogged_ns,
					__u64 charge_ns)
{
	struct fair *q = flow->fair;
	const __u64 finish = q->vtime_ns + queue_ns + charge_ns;

	if (!queue_ns) {
		fair_claim_queue(q, queue, flow->tag);
		if (!q->active || finish < q->first_empty_ns)
			q->first_empty_ns = finish;
		q->active++;
	}
	if (config_tcp_window_clamp && queue_ns > backlogged_ns)
		q->greedy |= 1U << queue;
	q->finish_ns[fair_index(queue)] = finish;
	if (finish > q->last_empty_ns)
		q->last_empty_ns = finish;
}

/* False: the word stayed locked. Exchanging is a full barrier, so that what one holder
 * wrote the next one sees. */
static __always_inline bool lock_acquire(__u32 *lock)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FAIR_SPINS; i++)
		if (!__sync_lock_test_and_set(lock, 1))
			return true;
	return false;
}

static __always_inline void lock_release(__u32 *lock)
{
	__sync_lock_test_and_set(lock, 0);
}

/* Admits the frame and charges it to its flow and the bucket, or neither. The queues
 * are locked, and a holder can be interrupted: who finds them locked for long is
 * admitted by the bucket alone, which nobody has to wait for. The queues add up to
 * less than its backlog for a while then. */
static __always_inline bool fair_admit(const struct fair_flow *flow, struct bucket *b, const struct speed *s,
				       struct bucket_cost cost, __u64 now)
{
	const __u64 packet_ns = bucket_ns(ABI_ADMIT_BYTES, s->rate_ns_per_byte);
	const __u64 backlogged_ns = (config_tcp_window_clamp ? FAIR_STEERED_HEAVY : FAIR_HEAVY) * packet_ns;
	const __u64 total_ns = fair_total_ns(s);
	struct fair *q = flow->fair;
	__u64 queue, queue_ns;
	bool admitted = false;

	if (!lock_acquire(&q->lock))
		return bucket_admit(b, s, cost, total_ns, now);
	fair_renew(q, b, s, now);
	fair_sample(q, backlogged_ns, now);
	queue = fair_queue(q, flow->tag);
	queue_ns = fair_queued(q, queue);
	if (fair_fits(flow, s, cost, packet_ns, queue, queue_ns))
		admitted = bucket_charge(b, cost, total_ns + (!queue_ns || flow->small ? s->burst_ns / 4 : 0), now);
	if (admitted)
		fair_charge(flow, queue, queue_ns, backlogged_ns, cost.charge_ns);
	lock_release(&q->lock);
	return admitted;
}
