/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire length of a super-packet (GSO, GRO): segments of gso_size bytes of payload,
 * each with a copy of the headers. gso_segs is not used: it is 0 on packets from tun and
 * virtio.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/* Headers between the first IP header and TCP or UDP: extension headers, and the
 * tunnels that GRO merges through. */
#define WIRE_HEADERS 5

#define GRE_CHECKSUM 0x80
#define GRE_KEY 0x20
#define GRE_SEQUENCE 0x10

static __always_inline __u32 wire_byte(struct __sk_buff *skb, __u32 off)
{
	__u8 byte = 0;

	bpf_skb_load_bytes(skb, off, &byte, sizeof(byte));
	return byte;
}

static __always_inline __u32 wire_gre(const __u8 *header, __u32 *next)
{
	__be16 ethertype;
	__u32 length = 4;

	__builtin_memcpy(&ethertype, header + 2, sizeof(ethertype));
	if (ethertype == bpf_htons(ETH_P_IP))
		*next = IPPROTO_IPIP;
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		*next = IPPROTO_IPV6;
	else
		return 0;
	if (header[0] & GRE_CHECKSUM)
		length += 4;
	if (header[0] & GRE_KEY)
		length += 4;
	if (header[0] & GRE_SEQUENCE)
		length += 4;
	return length;
}

/* The length of the header at off, and the protocol after it; 0 for a header that is not
 * in between. */
static __always_inline __u32 wire_between(struct __sk_buff *skb, __u32 off, __u32 protocol, __u32 *next)
{
	__u8 header[8]; /* none is shorter, with its payload */

	if (bpf_skb_load_bytes(skb, off, header, sizeof(header)))
		return 0;
	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		*next = header[0];
		return (header[1] + 1) * 8;
	case IPPROTO_IPIP:
		*next = wire_byte(skb, off + 9);
		return (header[0] & 0xf) * 4;
	case IPPROTO_IPV6:
		*next = header[6];
		return sizeof(struct ipv6hdr);
	case IPPROTO_GRE:
		return wire_gre(header, next);
	}
	return 0;
}

/* All headers of a segment, from the IP header on. */
static __always_inline __u32 wire_headers(struct __sk_buff *skb, const struct frame *f)
{
	__u32 off = f->l4_off;
	__u32 protocol = f->protocol;

	for (int i = 0; i < WIRE_HEADERS; i++) {
		__u32 length = wire_between(skb, off, protocol, &protocol);

		if (!length)
			break;
		off += length;
	}
	if (protocol == IPPROTO_TCP)
		off += (wire_byte(skb, off + 12) >> 4) * 4;
	else if (protocol == IPPROTO_UDP)
		off += sizeof(struct udphdr);
	return off - f->l3_off;
}

/* Sets wire, segment and segments of a super-packet. */
static __always_inline void wire_segments(struct __sk_buff *skb, struct frame *f)
{
	__u32 size = skb->gso_size;
	__u32 headers, payload;

	if (!size || !f->ip)
		return;
	headers = wire_headers(skb, f);
	if (f->wire <= headers + size)
		return; /* one segment */
	payload = f->wire - headers;
	f->segment = headers + size;
	f->segments = (payload + size - 1) / size;
	f->wire += (f->segments - 1) * headers;
}
