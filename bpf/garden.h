/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walled garden by name: addresses that garden.c learnt from answers of the router's DNS.
 * Others may have services at such an address as well, so that only some ports are open
 * there, at a speed of each device. Networks in the walled garden are the operator's word
 * for all that is in them: see service.h.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "compiler.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "preauth_bucket.h"
#include "router.h"

/* Load-time constants. */
volatile const __u8 garden_on = 0;                            /* a name is in the walled garden */
volatile const __be16 garden_ports_be[ABI_GARDEN_PORTS] = {}; /* of the peer; 0: none */
volatile const struct speed garden_speed = {};                /* of a device, both directions together */

#define GARDEN_NS_PER_S 1000000000ULL

static __always_inline __u32 garden_seconds(__u64 now)
{
	return now / GARDEN_NS_PER_S;
}

static __always_inline bool garden_port(__be16 port)
{
	bool open = false;

#pragma unroll
	for (int i = 0; i < ABI_GARDEN_PORTS; i++)
		open |= port && garden_ports_be[i] == port;
	return open;
}

/* The entry of an address that is open, or NULL. The router may have got the address since. */
static __always_inline struct garden_addr *garden_open(const struct addr_key *at, __u64 now)
{
	struct garden_addr *a = bpf_map_lookup_elem(&garden_addrs, at);

	return a && READ_ONCE(a->until_s) > garden_seconds(now) && !router_owns(at) ? a : NULL;
}

/* An address in use stays open, but not without end: the name may have another by now. CPUs
 * that write at once write about the same. */
static __always_inline void garden_use(struct garden_addr *a, __u64 now)
{
	__u32 until = garden_seconds(now) + ABI_GARDEN_USED_S, most = READ_ONCE(a->named_s) + ABI_GARDEN_MOST_S;

	if (until > most)
		until = most;
	if (until > READ_ONCE(a->until_s))
		WRITE_ONCE(a->until_s, until);
}

/* Whether a packet without options is an ICMP error about a packet of the device to an open
 * address and port. */
static __always_inline bool garden_error(const struct packet *p)
{
	struct icmp_sent sent;
	struct packet_ports ports;

	if (!(parse_is_ipv6(p->frame) ? icmp_read6(p, &sent) : icmp_read4(p, &sent)))
		return false;
	if (sent.more || (sent.protocol != IPPROTO_UDP && sent.protocol != IPPROTO_TCP) ||
	    !packet_load(p, sent.ports_off, &ports, sizeof(ports)))
		return false;
	return garden_port(ports.peer) && garden_open(&sent.to, p->now);
}

/* A frame that was dropped because its device does not pay: PASS_GARDEN, or the reason for a
 * drop; why, if it is not of the walled garden. */
static __always_inline enum reason garden_frame(const struct packet *p, enum reason why)
{
	const struct frame *f = p->frame;
	const struct speed s = garden_speed;
	struct garden_addr *a;
	struct packet_ports ports;

	if (!garden_on || !f->ip || f->vlan || f->group || f->fragment || f->options)
		return why;
	if (!packet_ports(p, &ports) || !garden_port(ports.peer))
		return why;
	a = garden_open(&f->peer, p->now);
	if (!a)
		return why;
	if (s.rate_ns_per_byte && !preauth_charge(f, PREAUTH_GARDEN, bucket_cost(f, s.rate_ns_per_byte), ABI_GARDEN_MACS, s.burst_ns, p->now))
		return DROP_GARDEN_RATE;
	garden_use(a, p->now);
	return PASS_GARDEN;
}
