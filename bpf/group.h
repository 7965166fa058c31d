/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IP multicast of connected clients is free, as it stays on their link: it is for other
 * clients, and for services of the router. A router with multicast routing would forward
 * it, and nothing could be debited in the other direction, where one frame is for many
 * clients. So none is forwarded: the hop limit becomes 1, which ends at the router. In the
 * other direction preauth_group drops what is routed.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define GROUP_LINK_SCOPE 2 /* of an IPv6 group, RFC 4291, 2.7 */

/* Whether a multicast router would forward a packet of a client. 224.0.0.0/24 (RFC 5771)
 * and groups of the link or less never are. */
static __always_inline bool group_is_routable(enum direction dir, const struct frame *f)
{
	__be32 last;
	__u32 addr;

	if (dir != UPLOAD || !f->group || !f->ip || f->hop_limit <= 1)
		return false;
	if (parse_is_ipv6(f))
		return f->peer.addr[0] == 0xff && (f->peer.addr[1] & 0xf) > GROUP_LINK_SCOPE;
	__builtin_memcpy(&last, f->peer.addr + 12, sizeof(last));
	addr = bpf_ntohl(last);
	return addr >> 28 == 0xe && addr >> 8 != 0xe00000;
}

/* Sets the hop limit to 1. Negative: the packet cannot be written. */
static __always_inline long group_keep_on_link(struct __sk_buff *skb, const struct frame *f)
{
	const __u8 hop_limit = 1;
	const __u16 now = f->hop_limit << 8, then = hop_limit << 8;
	const __u32 at = f->l3_off + __builtin_offsetof(struct iphdr, ttl);

	if (parse_is_ipv6(f))
		return bpf_skb_store_bytes(skb, f->l3_off + __builtin_offsetof(struct ipv6hdr, hop_limit), &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
	/* The header still sums up to zero, so that a checksum of the whole packet holds. */
	return bpf_l3_csum_replace(skb, f->l3_off + __builtin_offsetof(struct iphdr, check), bpf_htons(now), bpf_htons(then), sizeof(now)) ||
	       bpf_skb_store_bytes(skb, at, &hop_limit, sizeof(hop_limit), 0);
}
