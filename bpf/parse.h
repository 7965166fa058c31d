/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to what the verdict needs of it. Headers are copied out with
 * bpf_skb_load_bytes, which works alike for linear and paged packets and leaves
 * the verifier no offsets to doubt.
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

#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset */

#ifndef IPPROTO_HOPOPTS
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60
#endif

/* The peer is the other end of the client's frame: where it goes on upload, where
 * it comes from on download. So most rules are written once for both directions. */
struct frame {
	struct mac_key client;
	struct mac_key peer_mac;
	struct addr_key peer __attribute__((aligned(8))); /* when ip */
	struct addr_key self __attribute__((aligned(8))); /* the client's own, when ip */
	__u32 l3_off;
	__u32 l4_off;   /* of IP without options */
	__u32 wire;     /* bytes on the wire, all segments */
	__u32 segment;  /* bytes of the first of them */
	__u32 segments;
	__be16 ethertype;
	__u8 protocol;  /* what follows the IP header */
	__u8 hop_limit;
	bool group;     /* to a multicast or broadcast MAC */
	bool tagged;
	bool ip;
	bool router;    /* the peer is the router itself */
	bool fragment;
	bool options;   /* that may lead the packet elsewhere than its address says */
};

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

/* The tags that the device or the kernel has not taken out of the frame. */
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
		f->tagged = true;
		f->ethertype = tag.ethertype;
		f->l3_off += sizeof(tag);
	}
	return 0;
}

/* Fills in what the link layer tells. Negative: no frame of any station. */
static __always_inline int parse_ethernet(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	struct ethhdr eth;

	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return -1;
	__builtin_memcpy(f->client.addr, dir == UPLOAD ? eth.h_source : eth.h_dest, ETH_ALEN);
	__builtin_memcpy(f->peer_mac.addr, dir == UPLOAD ? eth.h_dest : eth.h_source, ETH_ALEN);
	f->group = eth.h_dest[0] & 1;
	f->tagged = skb->vlan_present;
	f->ethertype = eth.h_proto;
	f->l3_off = ETH_HLEN;
	if (parse_tags(skb, f))
		return -1;
	f->wire = skb->len - f->l3_off;
	f->segment = f->wire;
	f->segments = 1;
	return eth.h_source[0] & 1 ? -1 : 0;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	struct iphdr ip;
	__u32 header, bytes;

	if (bpf_skb_load_bytes(skb, f->l3_off, &ip, sizeof(ip)))
		return -1;
	header = ip.ihl * 4;
	/* The length field of a super-packet is not to be trusted. */
	bytes = skb->gso_size ? f->wire : bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip) || bytes < header || bytes > f->wire)
		return -1;
	f->wire = bytes; /* without the padding of a short frame */
	f->l4_off = f->l3_off + header;
	f->protocol = ip.protocol;
	f->hop_limit = ip.ttl;
	f->fragment = ip.frag_off & bpf_htons(IPV4_FRAGMENT);
	f->options = header > sizeof(ip);
	f->peer.addr[10] = 0xff;
	f->peer.addr[11] = 0xff;
	__builtin_memcpy(&f->peer.addr[12], dir == UPLOAD ? &ip.daddr : &ip.saddr, sizeof(ip.daddr));
	__builtin_memcpy(&f->self.addr[12], dir == UPLOAD ? &ip.saddr : &ip.daddr, sizeof(ip.saddr));
	return 0;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	struct ipv6hdr ip;
	__u32 bytes;

	if (bpf_skb_load_bytes(skb, f->l3_off, &ip, sizeof(ip)))
		return -1;
	bytes = sizeof(ip) + bpf_ntohs(ip.payload_len);
	/* The form of a jumbogram, with or without the option: Linux forwards the
	 * frame as long as it is. */
	if (skb->gso_size || (!ip.payload_len && ip.nexthdr == IPPROTO_HOPOPTS))
		bytes = f->wire;
	if (ip.version != 6 || bytes > f->wire)
		return -1;
	f->wire = bytes;
	f->l4_off = f->l3_off + sizeof(ip);
	f->protocol = ip.nexthdr;
	f->hop_limit = ip.hop_limit;
	f->fragment = ip.nexthdr == IPPROTO_FRAGMENT;
	f->options = ip.nexthdr == IPPROTO_HOPOPTS || ip.nexthdr == IPPROTO_ROUTING || ip.nexthdr == IPPROTO_DSTOPTS;
	__builtin_memcpy(&f->peer, dir == UPLOAD ? &ip.daddr : &ip.saddr, sizeof(f->peer));
	__builtin_memcpy(&f->self, dir == UPLOAD ? &ip.saddr : &ip.daddr, sizeof(f->self));
	return 0;
}

/* Fills in what the network layer tells, but router. Negative: says IP, and is not. */
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
