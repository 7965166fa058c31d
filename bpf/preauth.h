/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What any device may do before it pays, and a client whose account has ended:
 * get an address, find the router, resolve names, reach the portal to buy. Each
 * allowance is as narrow as its protocol; none leads past the router, except to
 * a portal elsewhere and the walled garden, which the operator names. Never
 * tagged, and but for the walled garden never a fragment nor with options.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "maps.h"
#include "parse.h"

#define PREAUTH_ARP_BYTES 28 /* for Ethernet and IPv4 */
#define PREAUTH_ARP_PADDED 64 /* as a frame that was tagged may be, with its checksum */
#define PREAUTH_DNS_TRIES 4

enum {
	PORT_DNS = 53,
	PORT_DHCP_SERVER = 67,
	PORT_DHCP_CLIENT = 68,
	PORT_DHCP6_CLIENT = 546,
	PORT_DHCP6_SERVER = 547,
};

/* RFC 4861 */
enum {
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_NEIGHBOR_SOLICIT = 135,
	ND_NEIGHBOR_ADVERT = 136,
	ND_REDIRECT = 137,
	ND_HOP_LIMIT = 255, /* which no forwarded packet has */
};

struct preauth_ports {
	__be16 client;
	__be16 peer;
};

static __always_inline bool preauth_arp(struct __sk_buff *skb, const struct frame *f)
{
	struct {
		__be16 hardware, protocol;
		__u8 hardware_bytes, protocol_bytes;
		__be16 operation;
	} arp;

	if (f->wire < PREAUTH_ARP_BYTES || f->wire > PREAUTH_ARP_PADDED ||
	    bpf_skb_load_bytes(skb, f->l3_off, &arp, sizeof(arp)))
		return false;
	return arp.hardware == bpf_htons(1) && arp.protocol == bpf_htons(ETH_P_IP) && arp.hardware_bytes == ETH_ALEN &&
	       arp.protocol_bytes == 4 && (arp.operation == bpf_htons(1) || arp.operation == bpf_htons(2));
}

static __always_inline bool preauth_is_ipv6(const struct frame *f)
{
	return f->ethertype == bpf_htons(ETH_P_IPV6);
}

/* Copies what follows the IP header, if the packet is so long: padding is not of it. */
static __always_inline bool preauth_load(struct __sk_buff *skb, const struct frame *f, void *to, __u32 bytes)
{
	return f->wire >= f->l4_off - f->l3_off + bytes && !bpf_skb_load_bytes(skb, f->l4_off, to, bytes);
}

/* To the router, or to a group of this link. */
static __always_inline bool preauth_on_link(const struct frame *f)
{
	return f->router || (f->peer.addr[0] == 0xff && f->peer.addr[1] == 0x02);
}

/* A client may not advertise a router, nor send neighbour messages past ours:
 * Linux would forward one with a distant address. */
static __always_inline bool preauth_nd(struct __sk_buff *skb, enum direction dir, const struct frame *f)
{
	__u8 type;

	if (!preauth_is_ipv6(f) || f->protocol != IPPROTO_ICMPV6 || f->hop_limit != ND_HOP_LIMIT)
		return false;
	if (!preauth_load(skb, f, &type, sizeof(type)))
		return false;
	if (type == ND_NEIGHBOR_SOLICIT || type == ND_NEIGHBOR_ADVERT)
		return dir == DOWNLOAD || preauth_on_link(f);
	if (dir == DOWNLOAD)
		return type == ND_ROUTER_ADVERT || type == ND_REDIRECT;
	return type == ND_ROUTER_SOLICIT && preauth_on_link(f);
}

/* To the router or to all servers of the link; back from the router only. */
static __always_inline bool preauth_dhcp(enum direction dir, const struct frame *f, struct preauth_ports ports)
{
	bool to_all;

	if (f->protocol != IPPROTO_UDP)
		return false;
	if (preauth_is_ipv6(f)) {
		if (ports.client != bpf_htons(PORT_DHCP6_CLIENT) || ports.peer != bpf_htons(PORT_DHCP6_SERVER))
			return false;
		to_all = parse_peer_is(f, 0xff020000, 0, 0, 0x00010002);
	} else {
		if (ports.client != bpf_htons(PORT_DHCP_CLIENT) || ports.peer != bpf_htons(PORT_DHCP_SERVER))
			return false;
		to_all = parse_peer_is(f, 0, 0, 0xffff, 0xffffffff);
	}
	return f->router || (dir == UPLOAD && to_all);
}

static __always_inline bool preauth_portal(const struct frame *f, __be16 port)
{
	struct portal_key key = {.port_be = port, .protocol = f->protocol};

	if (f->router && bpf_map_lookup_elem(&portals, &key))
		return true;
	if (parse_peer_is(f, 0, 0, 0, 0))
		return false; /* who has no address is not the router, which has this key */
	__builtin_memcpy(key.addr, f->peer.addr, sizeof(key.addr));
	return bpf_map_lookup_elem(&portals, &key);
}

/* The router may be in there itself, but must not be asked to send onward. */
static __always_inline bool preauth_garden(const struct frame *f)
{
	struct prefix_key key = {.prefix_len = 8 * sizeof(key.addr)};

	if (f->router && f->options)
		return false;
	__builtin_memcpy(key.addr, f->peer.addr, sizeof(key.addr));
	return bpf_map_lookup_elem(&walled_garden, &key);
}

static __always_inline bool preauth_dns_admit(struct dns_bucket *a, __u64 charge_ns, __u64 admit_ns, __u64 now)
{
	for (int i = 0; i < PREAUTH_DNS_TRIES; i++) {
		__u64 tat = *(volatile __u64 *)&a->tat_ns;
		__u64 backlog = tat > now ? tat - now : 0;

		if (backlog + admit_ns > ABI_DNS_BURST_NS)
			return false;
		if (__sync_val_compare_and_swap(&a->tat_ns, tat, now + backlog + charge_ns) == tat)
			return true;
	}
	return false; /* others were faster each time: over its speed */
}

/* Under memory pressure a bucket may be lost or, for a moment, be another MAC's:
 * that costs or gives a few lookups, no more. */
static __always_inline struct dns_bucket *preauth_dns_bucket(const struct frame *f)
{
	struct dns_bucket *a = bpf_map_lookup_elem(&dns_buckets, &f->client);

	if (!a) {
		struct dns_bucket fresh = {};

		bpf_map_update_elem(&dns_buckets, &f->client, &fresh, BPF_NOEXIST);
		a = bpf_map_lookup_elem(&dns_buckets, &f->client);
	}
	return a;
}

/* The MAC's own bucket comes first: what one asks too much takes nothing of the
 * others'. What the total has no room for is charged to the MAC all the same. */
static __always_inline bool preauth_dns_speed(const struct frame *f, __u64 now)
{
	const __u32 only = 0;
	__u64 charge_ns = f->wire * ABI_DNS_NS_PER_BYTE;
	__u64 admit_ns = f->wire < ABI_ADMIT_BYTES ? charge_ns : ABI_ADMIT_BYTES * ABI_DNS_NS_PER_BYTE;
	struct dns_bucket *own = preauth_dns_bucket(f);
	struct dns_bucket *total;

	if (!own || !preauth_dns_admit(own, charge_ns, admit_ns, now))
		return false;
	total = bpf_map_lookup_elem(&dns_bucket_all, &only);
	return total && preauth_dns_admit(total, charge_ns / ABI_DNS_MACS, admit_ns / ABI_DNS_MACS, now);
}

/* UDP and TCP by port. */
static __always_inline enum reason preauth_service(struct __sk_buff *skb, enum direction dir, const struct frame *f,
						 __u64 now, enum reason otherwise)
{
	struct preauth_ports ports;
	__be16 in_packet[2];

	if (f->protocol != IPPROTO_UDP && f->protocol != IPPROTO_TCP)
		return otherwise;
	if (!preauth_load(skb, f, in_packet, sizeof(in_packet)))
		return otherwise;
	ports.client = in_packet[dir == UPLOAD ? 0 : 1];
	ports.peer = in_packet[dir == UPLOAD ? 1 : 0];
	if (f->router && ports.peer == bpf_htons(PORT_DNS))
		return preauth_dns_speed(f, now) ? PASS_PREAUTH : DROP_PREAUTH_RATE;
	if (preauth_dhcp(dir, f, ports) || preauth_portal(f, ports.peer))
		return PASS_PREAUTH;
	return otherwise;
}

/* PASS_PREAUTH, or why not: otherwise, when it is nothing that may be. */
static __always_inline enum reason preauth_frame(struct __sk_buff *skb, enum direction dir, const struct frame *f,
					       __u64 now, enum reason otherwise)
{
	if (f->tagged)
		return otherwise;
	if (f->ethertype == bpf_htons(ETH_P_ARP))
		return preauth_arp(skb, f) ? PASS_PREAUTH : otherwise;
	if (f->ethertype == bpf_htons(ETH_P_PAE))
		return PASS_PREAUTH;
	if (!f->ip)
		return otherwise;
	if (preauth_garden(f))
		return PASS_PREAUTH;
	if (f->fragment || f->options)
		return otherwise;
	if (preauth_nd(skb, dir, f))
		return PASS_PREAUTH;
	return preauth_service(skb, dir, f, now, otherwise);
}

/* Frames to all clients at once: only what is of the link, or of the router itself. */
static __always_inline enum reason preauth_group(struct __sk_buff *skb, const struct frame *f)
{
	bool pass = f->router || f->ethertype == bpf_htons(ETH_P_PAE);

	if (f->ethertype == bpf_htons(ETH_P_ARP))
		pass = preauth_arp(skb, f);
	if (f->ip && !f->fragment && !f->options && preauth_nd(skb, DOWNLOAD, f))
		pass = true;
	return pass && !f->tagged ? PASS_PREAUTH : DROP_NO_RULE;
}
