/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Steering: a TCP sender learns what its flow's queue (fair.h) has room for from the
 * acknowledgements on their way back, instead of finding out by loss. The window in
 * them is made no larger than that room. Its right edge then advances at the flow's
 * share of the speed, and the sender is paced as a shaper would pace it, while
 * nothing waits anywhere but at the sender. Who does not listen (QUIC, UDP, a window
 * of unknown scale) meets the drops as before.
 *
 * A window is never made larger: what the receiver has no room for is not for us to
 * promise. The right edge can move to the left, when a flow is first steered and when
 * more flows come to share the speed. A receiver should not do that, and a sender must
 * be robust against it (RFC 9293, 3.8.6): it sends nothing new until the edge is back
 * where it was, and mends losses as ever. What it had sent before is not lost, because
 * the receiver, who knows nothing of this, has room for it still.
 *
 * What a window counts in is said in the handshake alone (RFC 7323, 2.2), so a flow
 * whose handshake was not seen is not steered. Nor is one whose segments are signed
 * (RFC 2385, RFC 5925), as the signature covers the window, nor one with a round trip
 * that takes longer than a queue is deep, which would be slowed.
 *
 * All of this is without the lock of the queues, for which data would have to wait: what
 * another CPU changes meanwhile makes one window wrong by a packet, or costs a new
 * flow its place in a table, and then it is not steered.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "config.h"
#include "fair.h"
#include "parse.h"

#define RWND_OPTIONS 12 /* as many are read of a SYN */
#define RWND_OPTION_END 0
#define RWND_OPTION_NOP 1
#define RWND_OPTION_SCALE 3
#define RWND_OPTION_SACK 5
#define RWND_OPTION_TIME 8
#define RWND_OPTION_MD5 19
#define RWND_OPTION_AO 29
#define RWND_MOST_SCALE 14

#define RWND_SACK_WORDS 8 /* of the shortest header with a SACK */
#define RWND_MOST_SACKED (1U << 30)

/* An entry of fair.scales, from the lowest bit on: the scale plus one, or 0 for a flow
 * that is not steered; flags; when it was last of use; the tag's upper bits. */
#define RWND_SCALE 0x0f
#define RWND_ASKED 0x10  /* by a SYN that is not answered yet */
#define RWND_OFFERED 0x20 /* the SYN had the option */
#define RWND_AGE 0xfc0
#define RWND_AGE_SHIFT 6
#define RWND_TAG 0xfffff000
/* Ages are counted in turns of 17 ms while the answer is awaited, and of 4 s after. */
#define RWND_ASKED_TURN 24
#define RWND_TURN 32
#define RWND_LONG (9 << RWND_AGE_SHIFT) /* 150 ms */

/* What the options of a SYN say: the lower bits of an entry. */
static __always_inline __u32 rwnd_options(struct __sk_buff *skb, __u32 at, __u32 end)
{
	__u32 said = 1;
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
			said = RWND_OFFERED |
			       (1 + (option.scale < RWND_MOST_SCALE ? option.scale : RWND_MOST_SCALE));
		if (option.length < 2)
			break;
		at += option.length;
	}
	return said;
}

/* How many bytes beyond what it acknowledges have arrived already, by the first block
 * of SACK (RFC 2018), which stands first, or after the time stamps. A window reckoned
 * without them would keep a sender from mending a loss. */
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
	return beyond < RWND_MOST_SACKED ? beyond : 0;
}

/* An index that the verifier believes, see fair_index. */
static __always_inline __u64 rwnd_index(__u32 tag, __u64 way)
{
	__u64 i = tag * ABI_SCALE_WAYS + way;

	asm("" : "+r"(i));
	return i & (ABI_SCALES - 1);
}

static __always_inline __u32 rwnd_age(__u64 now, __u32 turn)
{
	return now >> turn << RWND_AGE_SHIFT & RWND_AGE;
}

static __always_inline __u32 rwnd_since(__u32 age, __u32 entry)
{
	return (age - (entry & RWND_AGE)) & RWND_AGE;
}

/* Keeps an entry, in the place of the one that was longest of no use. */
static __always_inline void rwnd_keep(struct fair *q, __u32 tag, __u32 entry, __u64 now)
{
	__u64 least = FAIR_NEVER;

#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < ABI_SCALE_WAYS; i++) {
		const __u32 kept = q->scales[rwnd_index(tag, i)];
		const __u64 foreign = u64_gt((kept ^ tag) & RWND_TAG, 0);
		const __u64 used = u64_gt(kept & RWND_SCALE, 0);
		const __u64 young = 1 + RWND_AGE - rwnd_since(rwnd_age(now, RWND_TURN), kept);

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

/* Learns from a SYN what its sender's windows count in. The answer settles it: both
 * sides have a scale or none has. */
static __always_inline void rwnd_handshake(const struct fair_flow *flow, enum direction dir, __u32 said, bool answer,
					    __u64 now)
{
	struct fair *back = &flow->all->fair[!dir], *along = &flow->all->fair[dir];
	const __u32 *found;
	__u32 asked;

	if (!answer) {
		rwnd_keep(back, flow->tag, said | RWND_ASKED | rwnd_age(now, RWND_ASKED_TURN), now);
		return;
	}
	found = rwnd_find(along, flow->tag);
	asked = found ? *found : 0;
	if (!(asked & RWND_ASKED))
		return; /* answered before */
	if (!(said & RWND_SCALE) || !(asked & RWND_SCALE) ||
	    rwnd_since(rwnd_age(now, RWND_ASKED_TURN), asked) > RWND_LONG)
		said = asked = 0;
	else if (!(said & asked & RWND_OFFERED))
		said = asked = 1;
	rwnd_keep(back, flow->tag, (said & RWND_SCALE) | rwnd_age(now, RWND_TURN), now);
	rwnd_keep(along, flow->tag, (asked & RWND_SCALE) | rwnd_age(now, RWND_TURN), now);
}

/* ns of a speed in bytes of payload, without a division: 2^33 for 8e9 is made good,
 * but for the 3 % that are headers. */
static __always_inline __u64 rwnd_bytes(__u64 ns, const struct speed *s)
{
	const __u64 bytes = (ns >> 8) * s->bit_per_s >> 25;

	return bytes + (bytes >> 5) + (bytes >> 7);
}

/* How long a queue is by now, if none of the others has become empty since the last
 * packet: else it is shorter. */
static __always_inline __u64 rwnd_queued(const struct fair *q, __u64 queue, const struct bucket *b, __u64 now)
{
	const __s64 since = now - q->vtime_at_ns;
	const __u64 queue_ns = fair_queued(q, queue);

	if (b->tat_ns <= now)
		return 0;
	return since > 0 ? queue_ns - u64_min(queue_ns, fair_share(since, q->active)) : queue_ns;
}

/* What a queue has room for. */
static __always_inline __u64 rwnd_room(const struct fair *q, __u64 queue, const struct bucket *b,
					const struct speed *s, __u64 now)
{
	const __u64 least_ns = FAIR_STEERED * bucket_ns(ABI_ADMIT_BYTES, s->rate_ns_per_byte);
	const __u64 all_ns = fair_total_ns(s);
	__u64 room_ns = fair_share(fair_steered_ns(s), fair_sharers(q));

	if (room_ns < least_ns)
		room_ns = least_ns;
	room_ns -= u64_min(room_ns, rwnd_queued(q, queue, b, now));
	return u64_min(room_ns, all_ns - u64_min(all_ns, bucket_backlog(b, now)));
}

/* The scale plus one of a flow that is to be steered, or 0. Marks it as of use. */
static __always_inline __u32 rwnd_scale(struct fair *q, __u32 tag, __u64 now)
{
	const __u32 age = rwnd_age(now, RWND_TURN);
	__u32 *entry = rwnd_find(q, tag);

	if (!entry || *entry & RWND_ASKED || !(*entry & RWND_SCALE))
		return 0;
	if (rwnd_since(age, *entry))
		*entry = (*entry & ~RWND_AGE) | age;
	return *entry & RWND_SCALE;
}

/* What a window may be at most. */
static __always_inline __u64 rwnd_window(struct fair *q, __u32 tag, const struct bucket *b, const struct speed *s,
					  __u32 sacked, __u64 now)
{
	const __u64 queue = fair_queue(q, tag);
	const __u32 bit = 1U << queue;
	__u64 bytes;
	__u32 scale;

	if (q->tag[fair_index(queue)] != tag || !(q->greedy & bit))
		return FAIR_NEVER;
	scale = rwnd_scale(q, tag, now);
	if (!scale)
		return FAIR_NEVER;
	if (!(q->clamped & bit))
		q->clamped |= bit;
	/* Rounded up, and at least 1: a sender that may send less than a packet sends
	 * that when its timer runs out. A window of nothing it would ask about, and the
	 * receiver answers such questions twice a second at most. */
	bytes = (rwnd_bytes(rwnd_room(q, queue, b, s, now), s) | 1) + sacked;
	return (bytes + (1ULL << (scale - 1)) - 1) >> (scale - 1);
}

/* Writes a smaller window. The checksum comes first, and finds out whether the frame
 * can be written to; where the sender's hardware is to fill it in, or the receiver's
 * has summed up the frame, the helper knows what to do. */
static __always_inline void rwnd_write(struct __sk_buff *skb, const struct frame *f, __be16 was, __u64 window)
{
	const __be16 less = bpf_htons(window);

	if (window >= bpf_ntohs(was))
		return;
	if (!bpf_l4_csum_replace(skb, f->l4_off + offsetof(struct tcphdr, check), was, less, sizeof(less)))
		bpf_skb_store_bytes(skb, f->l4_off + offsetof(struct tcphdr, window), &less, sizeof(less), 0);
}

/* The TCP header of an unfragmented packet. The frame is read again: else the verifier
 * would take each way in which it can be read through the account (see verdict_after_end). */
static __always_inline bool rwnd_header(struct __sk_buff *skb, enum direction dir, struct frame *f,
					 struct tcphdr *tcp)
{
	const struct tcphdr *at = NULL;

	if (parse_ethernet(skb, dir, f) || parse_network(skb, dir, f))
		return false;
	if (!f->ip || f->fragment || f->options || f->protocol != IPPROTO_TCP)
		return false;
	if (f->l4_off == PARSE_L4_IPV4)
		at = parse_at(skb, PARSE_L4_IPV4, struct tcphdr);
	else if (f->l4_off == PARSE_L4_IPV6)
		at = parse_at(skb, PARSE_L4_IPV6, struct tcphdr);
	if (at)
		*tcp = *at;
	else if (bpf_skb_load_bytes(skb, f->l4_off, tcp, sizeof(*tcp)))
		return false;
	return tcp->doff * 4 >= sizeof(*tcp) && f->l4_off - f->l3_off + tcp->doff * 4 <= f->wire;
}

/* Steers the sender that a passing frame answers, or learns from its handshake. */
static __always_inline void rwnd_frame(struct __sk_buff *skb, enum direction dir, const struct rule *r,
					const struct account *u, const struct fair_flow *flow, __u64 now)
{
	struct frame f = {};
	struct tcphdr tcp;
	struct fair *back;
	__u64 window;
	__u32 said, sacked;

	if (!config_tcp_window_clamp || flow->no_tcp || !flow->all || !rwnd_header(skb, dir, &f, &tcp) || tcp.rst)
		return;
	back = &flow->all->fair[!dir];
	if (tcp.syn) {
		said = rwnd_options(skb, f.l4_off + sizeof(tcp), f.l4_off + tcp.doff * 4);
		rwnd_handshake(flow, dir, said, tcp.ack, now);
	} else if (tcp.ack && back->greedy && r->speed[!dir].rate_ns_per_byte) {
		sacked = rwnd_sacked(skb, &f, &tcp);
		window = rwnd_window(back, flow->tag, &u->bucket[!dir], &r->speed[!dir], sacked, now);
		rwnd_write(skb, &f, tcp.window, window);
	}
}
