/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Receive-window clamping (TCP rate control): the window in an acknowledgement is made no
 * larger than the room in the queue of the flow (fair.h) that it acknowledges. The right
 * edge of the window then advances at the flow's share of the speed, and the sender is
 * paced as by a shaper, while nothing is queued anywhere but at the sender. Flows that
 * cannot be clamped (QUIC, UDP, unknown window scale) are policed: they see drops.
 *
 * A window is never enlarged, as the receiver may have no room. The right edge can move
 * to the left, when a flow is first clamped and when more flows come to share the speed.
 * A receiver should not do that, and a sender must be robust against it (RFC 9293,
 * 3.8.6): it sends nothing new until the edge is back, and recovers losses as before.
 * Data in flight is not lost, because the receiver, unaware of the clamp, has room.
 *
 * The unit of a window is in the handshake alone (RFC 7323, 2.2), so a flow without a
 * seen handshake is not clamped. Nor is a flow whose segments are signed (RFC 2385,
 * RFC 5925), as the signature covers the window, nor a flow whose round trip is longer
 * than its queue, which would be slowed.
 *
 * Windows are clamped without the lock of the queues, for which data would have to wait.
 * A race with another CPU makes one window wrong by a packet, or costs a new flow its
 * entry in a table, and then it is not clamped.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "branchless.h"
#include "bucket.h"
#include "config.h"
#include "fair.h"
#include "packet.h"
#include "parse.h"
#include "share.h"

#define RWND_OPTIONS 12 /* of a SYN that are parsed */
#define RWND_OPTION_END 0
#define RWND_OPTION_NOP 1
#define RWND_OPTION_SCALE 3
#define RWND_OPTION_SACK 5
#define RWND_OPTION_TIME 8
#define RWND_OPTION_MD5 19
#define RWND_OPTION_AO 29
#define RWND_MAX_SCALE 14

#define RWND_SACK_WORDS 8 /* of the shortest header with a SACK */
#define RWND_MAX_SACKED (1U << 30)

/* Queues of clamped flows, in packets of ABI_ADMIT_BYTES: */
#define RWND_MIN 4        /* room at least */
#define RWND_BEYOND 2     /* that fit a queue beyond its room */
#define RWND_BACKLOGGED 2 /* FAIR_BACKLOGGED, as a clamped queue never fills */

/* An entry of fair.scales, from the lowest bit on: the scale plus one, or 0 for a flow
 * that is not to be clamped; flags; the time of its last use; the tag's upper bits. */
#define RWND_SCALE 0x0f
#define RWND_PENDING 0x10 /* a SYN without its answer */
#define RWND_OFFERED 0x20 /* the SYN had the option */
#define RWND_AGE 0xfc0
#define RWND_AGE_SHIFT 6
#define RWND_TAG 0xfffff000
/* Units of age: 1 << 24 ns (17 ms) while the answer is pending, 1 << 32 ns (4 s) after. */
#define RWND_PENDING_UNIT 24
#define RWND_UNIT 32
#define RWND_MAX_RTT (9 << RWND_AGE_SHIFT) /* 150 ms */

/* A longer queue is of a flow that wants more than its share, in packets. */
static __always_inline __u32 rwnd_backlogged(void)
{
	return config_tcp_window_clamp ? RWND_BACKLOGGED : FAIR_BACKLOGGED;
}

static __always_inline bool rwnd_clamped(const struct fair *q, __u64 queue)
{
	return config_tcp_window_clamp && q->clamped & 1U << queue;
}

/* The burst that clamped flows share: a sender that waits for its retransmission timer,
 * 200 ms in Linux, is to find its queue not yet empty. */
static __always_inline __u64 rwnd_burst(const struct speed *s)
{
	return s->burst_ns + s->burst_ns / 4;
}

/* How long a queue may be. */
static __always_inline __u64 rwnd_queue_limit(const struct fair *q, __u64 queue, const struct speed *s,
					      __u64 packet_ns)
{
	const bool clamped = rwnd_clamped(q, queue);
	__u64 limit_ns = share_of(clamped ? rwnd_burst(s) : s->burst_ns, fair_sharers(q));

	if (limit_ns < SHARE_MIN * packet_ns)
		limit_ns = SHARE_MIN * packet_ns;
	if (clamped)
		limit_ns += RWND_BEYOND * packet_ns;
	return limit_ns;
}

/* Marks the flow of a queue as greedy. In an empty queue another flow starts unmarked. */
static __always_inline void rwnd_mark(const struct flow *flow, __u64 queue, __u64 queue_ns, __u64 backlogged_ns)
{
	struct fair *q = flow->fair;

	if (!config_tcp_window_clamp)
		return;
	if (!queue_ns && q->tag[fair_index(queue)] != flow->tag) {
		q->greedy &= ~(1U << queue);
		q->clamped &= ~(1U << queue);
	}
	if (queue_ns > backlogged_ns)
		q->greedy |= 1U << queue;
}

/* The options of a SYN, as the lower bits of an entry. */
static __always_inline __u32 rwnd_options(struct __sk_buff *skb, __u32 at, __u32 end)
{
	__u32 opts = 1;
	struct {
		__u8 kind, length, scale;
	} option = {};

#pragma clang loop unroll(disable)
	for (int i = 0; i < RWND_OPTIONS; i++) {
		if (at + 2 > end || bpf_skb_load_bytes(skb, at, &option, 2) || option.kind == RWND_OPTION_END)
			break;
		if (option.kind == RWND_OPTION_NOP) {
			at++;
			continue;
		}
		if (option.kind == RWND_OPTION_MD5 || option.kind == RWND_OPTION_AO)
			return 0;
		if (option.kind == RWND_OPTION_SCALE && at + sizeof(option) <= end &&
		    !bpf_skb_load_bytes(skb, at, &option, sizeof(option)))
			opts = RWND_OFFERED | (1 + (option.scale < RWND_MAX_SCALE ? option.scale : RWND_MAX_SCALE));
		if (option.length < 2)
			break;
		at += option.length;
	}
	return opts;
}

/* How many bytes beyond the acknowledged ones have arrived, by the first block of SACK
 * (RFC 2018), which is the first option or follows the time stamps. A window without them
 * would keep the sender from recovering a loss. */
static __always_inline __u32 rwnd_sacked(struct __sk_buff *skb, const struct frame *f, const struct tcphdr *tcp)
{
	struct {
		__u8 pad[2], kind, length;
		__be32 begin, end;
	} sack;
	const __u32 at = f->l4_off + sizeof(*tcp);
	__u32 beyond;

	if (tcp->doff < RWND_SACK_WORDS || bpf_skb_load_bytes(skb, at, &sack, sizeof(sack)))
		return 0;
	if (sack.kind == RWND_OPTION_TIME && tcp->doff > RWND_SACK_WORDS &&
	    bpf_skb_load_bytes(skb, at + sizeof(sack), &sack, sizeof(sack)))
		return 0;
	if (sack.kind != RWND_OPTION_SACK)
		return 0;
	beyond = bpf_ntohl(sack.end) - bpf_ntohl(tcp->ack_seq);
	return beyond < RWND_MAX_SACKED ? beyond : 0;
}

static __always_inline __u64 rwnd_index(__u32 tag, __u64 way)
{
	return u64_index(tag * ABI_SCALE_WAYS + way, ABI_SCALES);
}

static __always_inline __u32 rwnd_age(__u64 now, __u32 unit)
{
	return now >> unit << RWND_AGE_SHIFT & RWND_AGE;
}

static __always_inline __u32 rwnd_since(__u32 age, __u32 entry)
{
	return (age - (entry & RWND_AGE)) & RWND_AGE;
}

/* Stores an entry in place of the flow's own, or of the least recently used one. */
static __always_inline void rwnd_store(struct fair *q, __u32 tag, __u32 entry, __u64 now)
{
	__u64 least = FAIR_NEVER;

#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < ABI_SCALE_WAYS; i++) {
		const __u32 stored = q->scales[rwnd_index(tag, i)];
		const __u64 foreign = u64_gt((stored ^ tag) & RWND_TAG, 0);
		const __u64 used = u64_gt(stored & RWND_SCALE, 0);
		const __u64 young = 1 + RWND_AGE - rwnd_since(rwnd_age(now, RWND_UNIT), stored);

		least = u64_min(least, (foreign + (young & -(used & foreign))) * ABI_SCALE_WAYS + i);
	}
	q->scales[rwnd_index(tag, least % ABI_SCALE_WAYS)] = (tag & RWND_TAG) | entry;
}

/* The entry of a flow, or NULL. */
static __always_inline __u32 *rwnd_find(struct fair *q, __u32 tag)
{
	__u64 way = ABI_SCALE_WAYS;

#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < ABI_SCALE_WAYS; i++) {
		const __u64 foreign = u64_gt((q->scales[rwnd_index(tag, i)] ^ tag) & RWND_TAG, 0);

		way = u64_min(way, foreign * ABI_SCALE_WAYS + i);
	}
	return way < ABI_SCALE_WAYS ? &q->scales[rwnd_index(tag, way)] : NULL;
}

/* Stores the scale in a SYN. The answer completes it: both sides have a scale or none
 * has. */
static __always_inline void rwnd_handshake(const struct packet *p, __u32 opts, bool answer)
{
	struct fair *same_dir = &p->flow.all->fair[p->dir], *reverse_dir = &p->flow.all->fair[!p->dir];
	const __u32 *found;
	__u32 pending;

	if (!answer) {
		rwnd_store(reverse_dir, p->flow.tag, opts | RWND_PENDING | rwnd_age(p->now, RWND_PENDING_UNIT), p->now);
		return;
	}
	found = rwnd_find(same_dir, p->flow.tag);
	pending = found ? *found : 0;
	if (!(pending & RWND_PENDING))
		return; /* answered before */
	if (!(opts & RWND_SCALE) || !(pending & RWND_SCALE) ||
	    rwnd_since(rwnd_age(p->now, RWND_PENDING_UNIT), pending) > RWND_MAX_RTT)
		opts = pending = 0;
	else if (!(opts & pending & RWND_OFFERED))
		opts = pending = 1;
	rwnd_store(reverse_dir, p->flow.tag, (opts & RWND_SCALE) | rwnd_age(p->now, RWND_UNIT), p->now);
	rwnd_store(same_dir, p->flow.tag, (pending & RWND_SCALE) | rwnd_age(p->now, RWND_UNIT), p->now);
}

/* ns at a speed as bytes of payload, without a division: 2^33 for 8e9 is corrected, less
 * the 3 % that are headers. */
static __always_inline __u64 rwnd_bytes(__u64 ns, const struct speed *s)
{
	const __u64 bytes = (ns >> 8) * s->bit_per_s >> 25;

	return bytes + (bytes >> 5) + (bytes >> 7);
}

/* The length of a queue now, if no other queue has emptied since the last packet: else it
 * is shorter. */
static __always_inline __u64 rwnd_queued(const struct fair *q, __u64 queue, const struct bucket *b, __u64 now)
{
	const __s64 since = now - q->vtime_at_ns;
	const __u64 queue_ns = fair_queued(q, queue);

	if (b->tat_ns <= now)
		return 0;
	return since > 0 ? queue_ns - u64_min(queue_ns, share_of(since, q->active)) : queue_ns;
}

/* The room in a queue. */
static __always_inline __u64 rwnd_room(const struct fair *q, __u64 queue, const struct bucket *b,
				       const struct speed *s, __u64 now)
{
	const __u64 min_ns = RWND_MIN * bucket_ns(ABI_ADMIT_BYTES, s->rate_ns_per_byte);
	const __u64 total_ns = share_total_ns(s);
	__u64 room_ns = share_of(rwnd_burst(s), fair_sharers(q));

	if (room_ns < min_ns)
		room_ns = min_ns;
	room_ns -= u64_min(room_ns, rwnd_queued(q, queue, b, now));
	return u64_min(room_ns, total_ns - u64_min(total_ns, bucket_backlog(b, now)));
}

/* The scale plus one of a flow that is to be clamped, or 0. Its entry is used now. */
static __always_inline __u32 rwnd_scale(struct fair *q, __u32 tag, __u64 now)
{
	const __u32 age = rwnd_age(now, RWND_UNIT);
	__u32 *entry = rwnd_find(q, tag);

	if (!entry || *entry & RWND_PENDING || !(*entry & RWND_SCALE))
		return 0;
	if (rwnd_since(age, *entry))
		*entry = (*entry & ~RWND_AGE) | age;
	return *entry & RWND_SCALE;
}

/* The bound of a window, in units of its scale. */
static __always_inline __u64 rwnd_window(const struct packet *p, struct fair *q, __u32 sacked)
{
	const struct bucket *b = &p->account->bucket[!p->dir];
	const struct speed *s = &p->rule->speed[!p->dir];
	const __u64 queue = fair_queue(q, p->flow.tag);
	const __u32 bit = 1U << queue;
	__u64 bytes;
	__u32 scale;

	if (q->tag[fair_index(queue)] != p->flow.tag || !(q->greedy & bit))
		return FAIR_NEVER;
	scale = rwnd_scale(q, p->flow.tag, p->now);
	if (!scale)
		return FAIR_NEVER;
	if (!(q->clamped & bit))
		q->clamped |= bit;
	/* Rounded up, and at least 1: with room for less than a packet a sender sends that
	 * when its timer expires. A window of 0 it would have to probe, and receivers answer
	 * probes twice a second at most. */
	bytes = (rwnd_bytes(rwnd_room(q, queue, b, s, p->now), s) | 1) + sacked;
	return (bytes + (1ULL << (scale - 1)) - 1) >> (scale - 1);
}

/* Writes a smaller window. The checksum comes first, which fails when the frame cannot be
 * written. The helper knows about checksums that hardware is to fill in or has verified. */
static __always_inline void rwnd_write(struct __sk_buff *skb, const struct frame *f, __be16 old, __u64 window)
{
	const __be16 clamped = bpf_htons(window);

	if (window >= bpf_ntohs(old))
		return;
	if (!bpf_l4_csum_replace(skb, f->l4_off + offsetof(struct tcphdr, check), old, clamped, sizeof(clamped)))
		bpf_skb_store_bytes(skb, f->l4_off + offsetof(struct tcphdr, window), &clamped, sizeof(clamped), 0);
}

/* The TCP header of an unfragmented packet. The frame is parsed again, see
 * verdict_after_end. */
static __always_inline bool rwnd_header(const struct packet *p, struct frame *f, struct tcphdr *tcp)
{
	const struct tcphdr *at = NULL;

	if (parse_ethernet(p->skb, p->dir, f) || parse_network(p->skb, p->dir, f))
		return false;
	if (!f->ip || f->fragment || f->options || f->protocol != IPPROTO_TCP)
		return false;
	if (f->l4_off == PARSE_L4_IPV4)
		at = parse_at(p->skb, PARSE_L4_IPV4, struct tcphdr);
	else if (f->l4_off == PARSE_L4_IPV6)
		at = parse_at(p->skb, PARSE_L4_IPV6, struct tcphdr);
	if (at)
		*tcp = *at;
	else if (bpf_skb_load_bytes(p->skb, f->l4_off, tcp, sizeof(*tcp)))
		return false;
	return tcp->doff * 4 >= sizeof(*tcp) && f->l4_off - f->l3_off + tcp->doff * 4 <= f->wire;
}

/* Clamps the window in a frame that passes, or stores the scale of its handshake. */
static __always_inline void rwnd_frame(const struct packet *p)
{
	struct frame f = {};
	struct tcphdr tcp;
	struct fair *reverse_dir;
	__u32 opts, sacked;

	if (!config_tcp_window_clamp || p->flow.not_tcp || !p->flow.all || !rwnd_header(p, &f, &tcp) || tcp.rst)
		return;
	reverse_dir = &p->flow.all->fair[!p->dir];
	if (tcp.syn) {
		opts = rwnd_options(p->skb, f.l4_off + sizeof(tcp), f.l4_off + tcp.doff * 4);
		rwnd_handshake(p, opts, tcp.ack);
	} else if (tcp.ack && reverse_dir->greedy && p->rule->speed[!p->dir].rate_ns_per_byte) {
		sacked = rwnd_sacked(p->skb, &f, &tcp);
		rwnd_write(p->skb, &f, tcp.window, rwnd_window(p, reverse_dir, sacked));
	}
}
