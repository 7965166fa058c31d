/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parses a frame. Headers outside the linear part are copied by bpf_skb_load_bytes, which
 * needs no bounds that the verifier has to follow.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define PARSE_VLAN_TAGS 2
#define PARSE_VLAN_ID 0x0fff
#define PARSE_GROUP 0x0100 /* the group bit in the first byte of a MAC */

#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset */

#ifndef IPPROTO_HOPOPTS
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60
#endif

/* The peer is the other end of the client's frame: the destination on upload, the source
 * on download. So most rules are written once for both directions. */
struct frame {
	struct mac_key client __attribute__((aligned(8)));
	struct mac_key peer_mac __attribute__((aligned(8)));
	struct addr_key peer __attribute__((aligned(8))); /* with ip */
	struct addr_key self __attribute__((aligned(8))); /* the client's own, with ip */
	__u32 l3_off;
	__u32 l4_off;   /* after the IP header */
	__u32 wire;     /* bytes on the wire, all segments */
	__u32 segment;  /* bytes of the first of them */
	__u32 segments;
	__be16 ethertype;
	__u8 protocol;  /* after the IP header */
	__u8 hop_limit;
	bool group;     /* to a multicast or broadcast MAC */
	__u16 vlan;     /* id of the outermost tag that has one; 0: untagged */
	__be16 vlan_protocol; /* of that tag */
	bool ip;
	bool router;    /* the peer is the router itself */
	bool fragment;
	bool options;   /* that may route the packet elsewhere than to its address */
};

static __always_inline bool parse_is_ipv6(const struct frame *f)
{
	return f->ethertype == bpf_htons(ETH_P_IPV6);
}

/* Compares the peer's address, as four words in host order. */
static __always_inline bool parse_peer_is(const struct frame *f, __u32 a, __u32 b, __u32 c, __u32 d)
{
	__be32 words[4];

	__builtin_memcpy(words, &f->peer, sizeof(words));
	return words[0] == bpf_htonl(a) && words[1] == bpf_htonl(b) && words[2] == bpf_htonl(c) &&
	       words[3] == bpf_htonl(d);
}

static __always_inline bool parse_is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* A tag with id 0 has a priority alone: its frame is untagged (IEEE 802.1Q, 6.9.1). */
static __always_inline void parse_tag(struct frame *f, __u16 tci, __be16 protocol)
{
	if (f->vlan || !(tci & PARSE_VLAN_ID))
		return;
	f->vlan = tci & PARSE_VLAN_ID;
	f->vlan_protocol = protocol;
}

/* The tags that neither device nor kernel has removed from the frame. */
static __always_inline int parse_tags(struct __sk_buff *skb, struct frame *f)
{
	struct {
		__be16 tci;
		__be16 ethertype;
	} tag;

#pragma unroll
	for (int i = 0; i < PARSE_VLAN_TAGS; i++) {
		if (!parse_is_vlan(f->ethertype))
			return 0;
		if (bpf_skb_load_bytes(skb, f->l3_off, &tag, sizeof(tag)))
			return -1;
		parse_tag(f, bpf_ntohs(tag.tci), f->ethertype);
		f->ethertype = tag.ethertype;
		f->l3_off += sizeof(tag);
	}
	return 0;
}

/* A header at off in the linear part, read without a call, which would cost as much as a
 * map lookup; NULL when it is not there. The headers of most frames are. */
#define parse_at(skb, off, type)                                              \
	({                                                                    \
		void *at = (void *)(long)(skb)->data + (off);                 \
		at + sizeof(type) <= (void *)(long)(skb)->data_end ? (type *)at : NULL; \
	})

#define PARSE_L4_IPV4 (ETH_HLEN + sizeof(struct iphdr))
#define PARSE_L4_IPV6 (ETH_HLEN + sizeof(struct ipv6hdr))

/* The first four bytes after the IP header, if there are any. */
static __always_inline void parse_ports(struct __sk_buff *skb, const struct frame *f, __u32 *ports)
{
	const __u32 *at = NULL;

	if (f->l4_off == PARSE_L4_IPV4)
		at = parse_at(skb, PARSE_L4_IPV4, __u32);
	else if (f->l4_off == PARSE_L4_IPV6)
		at = parse_at(skb, PARSE_L4_IPV6, __u32);
	if (at)
		*ports = *at;
	else
		bpf_skb_load_bytes(skb, f->l4_off, ports, sizeof(*ports));
}

/* The Ethernet header by 16 bits: it is not aligned to more. */
struct parse_eth {
	__be16 dest[ETH_ALEN / 2];
	__be16 source[ETH_ALEN / 2];
	__be16 proto;
};

/* Keys are stored in the words that their hash loads: a processor stalls on the load of a
 * word that was just stored in pieces. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PARSE_PIECE(piece, bits, from) ((__u64)(piece) << (from))
#else
#define PARSE_PIECE(piece, bits, from) ((__u64)(piece) << (64 - (bits) - (from)))
#endif

static __always_inline void parse_mac(struct mac_key *to, const __be16 *from)
{
	const __u64 word = PARSE_PIECE(from[0], 16, 0) | PARSE_PIECE(from[1], 16, 16) | PARSE_PIECE(from[2], 16, 32);

	__builtin_memcpy(to, &word, sizeof(word));
}

/* 01:80:c2:00:00:00 to 0f, IEEE 802.1Q table 8-1. */
static __always_inline bool parse_is_link_control(const struct mac_key *mac)
{
	const __u8 *a = mac->addr;

	return a[0] == 0x01 && a[1] == 0x80 && a[2] == 0xc2 && !(a[3] | a[4] | (a[5] & 0xf0));
}

/* IPv4-mapped, ::ffff:0:0/96. */
static __always_inline void parse_mapped(struct addr_key *to, __be32 addr)
{
	const __u64 words[2] = {0, PARSE_PIECE(bpf_htons(0xffff), 16, 16) | PARSE_PIECE(addr, 32, 32)};

	__builtin_memcpy(to, words, sizeof(words));
}

/* Parses the link layer. Negative: no frame that a station may send. */
static __always_inline int parse_ethernet(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	const struct parse_eth *eth = parse_at(skb, 0, struct parse_eth);
	struct parse_eth copy;
	bool from_group;

	if (!eth && bpf_skb_load_bytes(skb, 0, &copy, sizeof(copy)))
		return -1;
	if (!eth)
		eth = &copy;
	parse_mac(&f->client, dir == UPLOAD ? eth->source : eth->dest);
	parse_mac(&f->peer_mac, dir == UPLOAD ? eth->dest : eth->source);
	f->group = eth->dest[0] & bpf_htons(PARSE_GROUP);
	from_group = eth->source[0] & bpf_htons(PARSE_GROUP);
	if (skb->vlan_present)
		parse_tag(f, skb->vlan_tci, skb->vlan_proto);
	f->ethertype = eth->proto;
	f->l3_off = ETH_HLEN;
	if (parse_tags(skb, f))
		return -1;
	f->wire = skb->len - f->l3_off;
	f->segment = f->wire;
	f->segments = 1;
	return from_group ? -1 : 0;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	const struct iphdr *ip = f->l3_off == ETH_HLEN ? parse_at(skb, ETH_HLEN, struct iphdr) : NULL;
	struct iphdr copy;
	__u32 header, bytes;

	if (!ip && bpf_skb_load_bytes(skb, f->l3_off, &copy, sizeof(copy)))
		return -1;
	if (!ip)
		ip = &copy;
	header = ip->ihl * 4;
	/* The length field of a super-packet is unreliable. */
	bytes = skb->gso_size ? f->wire : bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || bytes < header || bytes > f->wire)
		return -1;
	f->wire = bytes; /* without the padding of a short frame */
	f->l4_off = f->l3_off + header;
	f->protocol = ip->protocol;
	f->hop_limit = ip->ttl;
	f->fragment = ip->frag_off & bpf_htons(IPV4_FRAGMENT);
	f->options = header > sizeof(*ip);
	parse_mapped(&f->peer, dir == UPLOAD ? ip->daddr : ip->saddr);
	parse_mapped(&f->self, dir == UPLOAD ? ip->saddr : ip->daddr);
	return 0;
}

/* By words, see PARSE_PIECE. At ETH_HLEN it is aligned to them. */
union parse_ipv6 {
	struct ipv6hdr ip;
	__u64 words[5];
};

/* Whether the destination is in ::/64, or the source is and is not the unspecified
 * address. Linux would forward it, but in the maps IPv4 addresses are there, and the
 * router as 0. */
static __always_inline bool parse_unroutable(const union parse_ipv6 *header)
{
	return !header->words[3] || (!header->words[1] && header->words[2]);
}

static __always_inline void parse_next_header(struct frame *f, __u8 next)
{
	f->protocol = next;
	f->fragment = next == IPPROTO_FRAGMENT;
	f->options = next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	const union parse_ipv6 *header = f->l3_off == ETH_HLEN ? parse_at(skb, ETH_HLEN, union parse_ipv6) : NULL;
	union parse_ipv6 copy;
	__u32 bytes;

	if (!header && bpf_skb_load_bytes(skb, f->l3_off, &copy, sizeof(copy)))
		return -1;
	if (!header)
		header = &copy;
	bytes = sizeof(*header) + bpf_ntohs(header->ip.payload_len);
	/* A jumbogram, with or without its option: Linux forwards all of the frame. */
	if (skb->gso_size || (!header->ip.payload_len && header->ip.nexthdr == IPPROTO_HOPOPTS))
		bytes = f->wire;
	if (header->ip.version != 6 || bytes > f->wire || parse_unroutable(header))
		return -1;
	f->wire = bytes;
	f->l4_off = f->l3_off + sizeof(*header);
	f->hop_limit = header->ip.hop_limit;
	parse_next_header(f, header->ip.nexthdr);
	__builtin_memcpy(&f->peer, dir == UPLOAD ? header->words + 3 : header->words + 1, sizeof(f->peer));
	__builtin_memcpy(&f->self, dir == UPLOAD ? header->words + 1 : header->words + 3, sizeof(f->self));
	return 0;
}

/* Parses the network layer, except router. Negative: IP that is malformed. */
static __always_inline int parse_network(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	int err = 0;

	if (f->ethertype == bpf_htons(ETH_P_IP))
		err = parse_ipv4(skb, dir, f);
	else if (f->ethertype == bpf_htons(ETH_P_IPV6))
		err = parse_ipv6(skb, dir, f);
	else
		return 0;
	f->segment = f->wire;
	f->ip = true;
	return err;
}
