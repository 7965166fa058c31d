/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6 errors to a client about the flows that are open before paying: without
 * "fragmentation needed" and "packet too big" an upload to the walled garden hangs behind a
 * narrow link. An error comes from any router on the way, and what it quotes may be forged.
 * So it is short, and has a speed that is too low for a tunnel. Those from a client pass
 * where its packets do.
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
#include "packet.h"
#include "parse.h"
#include "router.h"
#include "service.h"

#define ICMP_BYTES 576   /* of an IPv4 packet with an error at most, RFC 1812, 4.3.2.3 */
#define ICMP6_BYTES 1280 /* of an IPv6 one, RFC 4443, 2.4 */

/* RFC 792, RFC 4443 */
enum {
	ICMP_UNREACHABLE = 3, /* with "fragmentation needed" */
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,
	ICMP_ERRORS = 1 << ICMP_UNREACHABLE | 1 << ICMP_TIME_EXCEEDED | 1 << ICMP_PARAMETER,

	ICMP6_UNREACHABLE = 1,
	ICMP6_PARAMETER = 4, /* in between: packet too big, time exceeded */
};

struct icmp_header {
	__u8 type, code;
	__be16 checksum;
	__be32 data;
};

/* An error in a packet without options, read at once: the verifier then follows few ways. */
struct icmp_error4 {
	struct iphdr ip;
	struct icmp_header icmp;
	struct iphdr quoted;
};

struct icmp_error6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
	union parse_ipv6 quoted;
};

/* What the client sent that an error is about, as far as the quote has it. */
struct icmp_sent {
	struct addr_key to;
	__u32 ports_off;
	__u32 more;     /* not 0: a fragment, or with IP options */
	__u8 protocol;
};

static __always_inline bool icmp_read4(const struct packet *p, struct icmp_sent *sent)
{
	struct icmp_error4 e;

	if (p->frame->wire > ICMP_BYTES || !packet_load(p, ETH_HLEN, &e, sizeof(e)))
		return false;
	if (e.icmp.type > ICMP_PARAMETER || !(ICMP_ERRORS >> e.icmp.type & 1))
		return false;
	if ((e.ip.protocol ^ IPPROTO_ICMP) | (e.quoted.version ^ 4) | (e.quoted.saddr ^ e.ip.daddr) || e.quoted.ihl < 5)
		return false;
	parse_mapped(&sent->to, e.quoted.daddr);
	sent->ports_off = ETH_HLEN + sizeof(e);
	sent->more = (e.quoted.frag_off & bpf_htons(IPV4_FRAGMENT)) | (e.quoted.ihl - 5);
	sent->protocol = e.quoted.protocol;
	return true;
}

static __always_inline bool icmp_read6(const struct packet *p, struct icmp_sent *sent)
{
	struct icmp_error6 e;
	__u64 to[2];

	if (p->frame->wire > ICMP6_BYTES || !packet_load(p, ETH_HLEN, &e, sizeof(e)))
		return false;
	if (e.icmp.type < ICMP6_UNREACHABLE || e.icmp.type > ICMP6_PARAMETER)
		return false;
	__builtin_memcpy(to, &e.ip.daddr, sizeof(to));
	if (((e.ip.nexthdr ^ IPPROTO_ICMPV6) | (e.quoted.ip.version ^ 6) | (to[0] ^ e.quoted.words[1]) |
	     (to[1] ^ e.quoted.words[2])) || parse_unroutable(&e.quoted))
		return false;
	__builtin_memcpy(&sent->to, e.quoted.words + 3, sizeof(sent->to));
	sent->ports_off = ETH_HLEN + sizeof(e);
	sent->more = 0;
	sent->protocol = e.quoted.ip.nexthdr; /* of a fragment, or with options, no service's */
	return true;
}

/* Whether the frame, untagged and without options, is an error about an open flow. */
static __always_inline bool icmp_of_open_flow(const struct packet *p)
{
	struct icmp_sent sent;
	struct packet_ports ports;
	bool router;

	if (!(parse_is_ipv6(p->frame) ? icmp_read6(p, &sent) : icmp_read4(p, &sent)))
		return false;
	if (service_garden(&sent.to))
		return true;
	if (sent.more || (sent.protocol != IPPROTO_UDP && sent.protocol != IPPROTO_TCP) ||
	    !packet_load(p, sent.ports_off, &ports, sizeof(ports)))
		return false;
	router = router_owns(&sent.to);
	if (router && !p->frame->router)
		return false; /* no other is on the way to it */
	return service_dns(router, ports.peer) || service_portal(&sent.to, router, sent.protocol, ports.peer);
}
