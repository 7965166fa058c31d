/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pre-auth traffic: what a device may do before it pays, and after its account has ended.
 * It gets an address, finds the router, resolves names, reaches the portal to buy, and
 * learns why a packet on one of these ways did not arrive.
 * Each rule is as narrow as its protocol. None leads past the router, except to a portal
 * elsewhere and to the walled garden, both named by the operator. Frames of a VLAN are never
 * pre-auth; fragments and packets with options only to the walled garden.
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
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "preauth_bucket.h"
#include "service.h"

#define PREAUTH_ARP_BYTES 28 /* for Ethernet and IPv4 */
#define PREAUTH_ARP_PADDED 64 /* a frame that was tagged, with its checksum */
#define PREAUTH_BURST_NS ((__u64)ABI_PREAUTH_BURST_BYTES * ABI_PREAUTH_NS_PER_BYTE)

enum {
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
	ND_HOP_LIMIT = 255, /* of no forwarded packet */
};

static __always_inline bool preauth_arp(const struct packet *p)
{
	const struct frame *f = p->frame;
	struct {
		__be16 hardware, protocol;
		__u8 hardware_bytes, protocol_bytes;
		__be16 operation;
	} arp;

	if (f->wire < PREAUTH_ARP_BYTES || f->wire > PREAUTH_ARP_PADDED ||
	    bpf_skb_load_bytes(p->skb, f->l3_off, &arp, sizeof(arp)))
		return false;
	return arp.hardware == bpf_htons(1) && arp.protocol == bpf_htons(ETH_P_IP) && arp.hardware_bytes == ETH_ALEN &&
	       arp.protocol_bytes == 4 && (arp.operation == bpf_htons(1) || arp.operation == bpf_htons(2));
}

/* To the router, or to a group of this link. */
static __always_inline bool preauth_on_link(const struct frame *f)
{
	return f->router || (f->peer.addr[0] == 0xff && f->peer.addr[1] == 0x02);
}

/* A client may not advertise a router, nor send neighbour messages past the router: Linux
 * would forward one with a distant address. */
static __always_inline bool preauth_nd(const struct packet *p)
{
	const struct frame *f = p->frame;
	__u8 type;

	if (!parse_is_ipv6(f) || f->protocol != IPPROTO_ICMPV6 || f->hop_limit != ND_HOP_LIMIT)
		return false;
	if (!packet_load(p, f->l4_off, &type, sizeof(type)))
		return false;
	if (type == ND_NEIGHBOR_SOLICIT || type == ND_NEIGHBOR_ADVERT)
		return p->dir == DOWNLOAD || preauth_on_link(f);
	if (p->dir == DOWNLOAD)
		return type == ND_ROUTER_ADVERT || type == ND_REDIRECT;
	return type == ND_ROUTER_SOLICIT && preauth_on_link(f);
}

/* To the router or to all servers of the link; back from the router only. */
static __always_inline bool preauth_dhcp(const struct packet *p, struct packet_ports ports)
{
	const struct frame *f = p->frame;
	bool to_all;

	if (f->protocol != IPPROTO_UDP)
		return false;
	if (parse_is_ipv6(f)) {
		if (ports.client != bpf_htons(PORT_DHCP6_CLIENT) || ports.peer != bpf_htons(PORT_DHCP6_SERVER))
			return false;
		to_all = parse_peer_is(f, 0xff020000, 0, 0, 0x00010002);
	} else {
		if (ports.client != bpf_htons(PORT_DHCP_CLIENT) || ports.peer != bpf_htons(PORT_DHCP_SERVER))
			return false;
		to_all = parse_peer_is(f, 0, 0, 0xffff, 0xffffffff);
	}
	return f->router || (p->dir == UPLOAD && to_all);
}

static __always_inline enum reason preauth_limited(const struct packet *p, enum preauth_speed of)
{
	const struct bucket_cost cost = bucket_fixed_cost(p->frame, ABI_PREAUTH_NS_PER_BYTE);

	return preauth_charge(p->frame, of, cost, ABI_PREAUTH_MACS, PREAUTH_BURST_NS, p->now) ? PASS_PREAUTH : DROP_PREAUTH_RATE;
}

/* UDP and TCP by port. */
static __always_inline enum reason preauth_service(const struct packet *p, enum reason otherwise)
{
	const struct frame *f = p->frame;
	struct packet_ports ports;

	if (!packet_ports(p, &ports))
		return otherwise;
	if (service_dns(f->router, ports.peer))
		return preauth_limited(p, PREAUTH_DNS);
	if (preauth_dhcp(p, ports) || service_portal(&f->peer, f->router, f->protocol, ports.peer))
		return PASS_PREAUTH;
	return otherwise;
}

/* PASS_PREAUTH, or the reason for a drop: otherwise, when it is not pre-auth traffic. */
static __always_inline enum reason preauth_frame(const struct packet *p, enum reason otherwise)
{
	const struct frame *f = p->frame;

	if (f->vlan)
		return otherwise;
	if (f->ethertype == bpf_htons(ETH_P_ARP))
		return preauth_arp(p) ? PASS_PREAUTH : otherwise;
	if (f->ethertype == bpf_htons(ETH_P_PAE))
		return PASS_PREAUTH;
	if (!f->ip)
		return otherwise;
	/* The router may be in it, but a packet to the router must not be routed onward. */
	if (!(f->router && f->options) && service_garden(&f->peer))
		return PASS_PREAUTH;
	if (f->fragment || f->options)
		return otherwise;
	if (preauth_nd(p))
		return PASS_PREAUTH;
	if (f->protocol == IPPROTO_ICMP || f->protocol == IPPROTO_ICMPV6)
		return p->dir == DOWNLOAD && icmp_of_open_flow(p) ? preauth_limited(p, PREAUTH_ERRORS) : otherwise;
	return preauth_service(p, otherwise);
}

/* Frames to all clients at once: only those of the link, or of the router itself. */
static __always_inline enum reason preauth_group(const struct packet *p)
{
	const struct frame *f = p->frame;
	bool pass = f->router || f->ethertype == bpf_htons(ETH_P_PAE);

	if (f->ethertype == bpf_htons(ETH_P_ARP))
		pass = preauth_arp(p);
	if (f->ip && !f->fragment && !f->options && preauth_nd(p))
		pass = true;
	return pass && !f->vlan ? PASS_PREAUTH : DROP_NO_RULE;
}
