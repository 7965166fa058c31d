/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Turns a frame into the answer to it, or into news for its receiver, in place: no socket
 * and no memory is involved.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "icmp.h"
#include "parse.h"

#define ANSWER_HOP_LIMIT 64
#define ANSWER_MSS_IPV4 1460
#define ANSWER_MSS_IPV6 1440
#define ANSWER_TCP_CHECK __builtin_offsetof(struct tcphdr, check)
#define ANSWER_TCP_FLAGS 13 /* offset in the header */
#define ANSWER_UDP_CHECK 6 /* likewise */
#define ANSWER_TCP_BYTES sizeof(struct tcphdr)
#define ANSWER_MSS_BYTES 4 /* of the option in a SYN */

/* RFC 9293, section 3.1 */
enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
};

/* What follows a TCP header. */
enum answer_payload {
	ANSWER_NOTHING,
	ANSWER_PAGE,
	ANSWER_ALERT,
};

/* A TLS alert, RFC 8446 section 6: fatal, internal_error. The last byte is padding, for
 * bpf_csum_diff. */
#define ANSWER_ALERT_BYTES 7
static const __u8 answer_alert[8] = {21, 3, 3, 0, 2, 2, 80};

/* Set by Go: the whole HTTP response, and its length, which is a multiple of 4 for
 * bpf_csum_diff. */
volatile const __u8 captive_page[ABI_CAPTIVE_PAGE_BYTES] = {};
volatile const __u32 captive_page_bytes = ABI_CAPTIVE_PAGE_BYTES;

struct answer {
	__u32 seq;
	__u32 ack;
	__u8 flags;
	__u8 payload; /* enum answer_payload */
};

/* The sum of 16-bit words with end-around carry, RFC 1071. */
static __always_inline __u16 answer_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u64 answer_sum(const void *from, __u32 bytes)
{
	return (__u32)bpf_csum_diff(NULL, 0, (__be32 *)from, bytes, 0);
}

/* Of the pseudo-header of TCP, UDP and ICMPv6. The sum is the same in both directions. */
static __always_inline __u64 answer_pseudo_sum(const struct frame *f, __u32 bytes, __u8 protocol)
{
	__u32 self[4], peer[4];
	__u64 sum;

	__builtin_memcpy(self, &f->self, sizeof(self));
	__builtin_memcpy(peer, &f->peer, sizeof(peer));
	sum = (__u64)self[3] + peer[3] + bpf_htonl(bytes) + bpf_htonl(protocol);
	if (parse_is_ipv6(f))
		sum += (__u64)self[0] + self[1] + self[2] + peer[0] + peer[1] + peer[2];
	return sum;
}

/* Whether device or kernel will add the checksum of the payload (CHECKSUM_PARTIAL): a
 * change without BPF_F_PSEUDO_HDR then leaves the field as it is. */
static __always_inline bool answer_checksum_offloaded(struct __sk_buff *skb, __u32 off)
{
	const __be16 probe = bpf_htons(0x1234);
	__be16 after = 0;

	bpf_skb_store_bytes(skb, off, &probe, sizeof(probe), 0);
	bpf_l4_csum_replace(skb, off, 0, bpf_htons(1), sizeof(after));
	bpf_skb_load_bytes(skb, off, &after, sizeof(after));
	return after == probe;
}

/* Writes Ethernet and IP header from the peer to the client, before bytes of that
 * protocol. */
static __always_inline void answer_headers(struct __sk_buff *skb, const struct frame *f, __u32 bytes, __u8 protocol)
{
	struct ethhdr eth = {.h_proto = f->ethertype};

	__builtin_memcpy(eth.h_dest, f->client.addr, ETH_ALEN);
	__builtin_memcpy(eth.h_source, f->peer_mac.addr, ETH_ALEN);
	if (parse_is_ipv6(f)) {
		struct ipv6hdr ip = {
			.version = 6, .payload_len = bpf_htons(bytes), .nexthdr = protocol, .hop_limit = ANSWER_HOP_LIMIT,
		};

		__builtin_memcpy(&ip.saddr, &f->peer, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &f->self, sizeof(ip.daddr));
		bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
	} else {
		struct iphdr ip = {
			.version = 4, .ihl = 5, .tot_len = bpf_htons(sizeof(ip) + bytes), .frag_off = bpf_htons(0x4000),
			.ttl = ANSWER_HOP_LIMIT, .protocol = protocol,
		};

		__builtin_memcpy(&ip.saddr, f->peer.addr + 12, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, f->self.addr + 12, sizeof(ip.daddr));
		ip.check = ~answer_fold(answer_sum(&ip, sizeof(ip)));
		bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
	}
	bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

/* Makes the frame a TCP segment to the client, with the ports of in swapped. Negative: it
 * is no whole frame any more. The answer to a SYN has an option only if the SYN has: it is
 * no longer than that. */
static __always_inline int answer_tcp(struct __sk_buff *skb, const struct frame *f, const struct tcphdr *in,
				      const struct answer *a)
{
	const bool option = a->flags & TCP_SYN && in->doff > ANSWER_TCP_BYTES / 4;
	const __u32 payload = a->payload == ANSWER_PAGE ? captive_page_bytes :
			      a->payload == ANSWER_ALERT ? ANSWER_ALERT_BYTES : 0;
	const __u32 bytes = ANSWER_TCP_BYTES + (option ? ANSWER_MSS_BYTES : 0) + payload;
	const __u32 mss = parse_is_ipv6(f) ? ANSWER_MSS_IPV6 : ANSWER_MSS_IPV4;
	const __u64 pseudo = answer_pseudo_sum(f, bytes, IPPROTO_TCP);
	struct {
		struct tcphdr tcp;
		__be32 mss;
	} header = {.mss = option ? bpf_htonl(0x02040000 | mss) : 0};
	__u64 sum;

	if (bpf_skb_change_tail(skb, f->l4_off + bytes, 0))
		return -1;
	header.tcp.source = in->dest;
	header.tcp.dest = in->source;
	header.tcp.seq = bpf_htonl(a->seq);
	header.tcp.ack_seq = bpf_htonl(a->ack);
	header.tcp.window = a->flags & TCP_RST ? 0 : bpf_htons(0xffff);
	header.tcp.doff = option ? sizeof(header) / 4 : ANSWER_TCP_BYTES / 4;
	((__u8 *)&header)[ANSWER_TCP_FLAGS] = a->flags;
	sum = pseudo + answer_sum(&header, sizeof(header));
	if (a->payload == ANSWER_PAGE)
		sum += answer_sum((const void *)captive_page, captive_page_bytes);
	else if (a->payload == ANSWER_ALERT)
		sum += answer_sum(answer_alert, sizeof(answer_alert));
	header.tcp.check = answer_checksum_offloaded(skb, f->l4_off + ANSWER_TCP_CHECK) ? answer_fold(pseudo) :
											  (__u16)~answer_fold(sum);
	if (option)
		bpf_skb_store_bytes(skb, f->l4_off, &header, sizeof(header), 0);
	else
		bpf_skb_store_bytes(skb, f->l4_off, &header, ANSWER_TCP_BYTES, 0);
	if (a->payload == ANSWER_PAGE)
		bpf_skb_store_bytes(skb, f->l4_off + ANSWER_TCP_BYTES, (const void *)captive_page, captive_page_bytes, 0);
	else if (a->payload == ANSWER_ALERT)
		bpf_skb_store_bytes(skb, f->l4_off + ANSWER_TCP_BYTES, answer_alert, ANSWER_ALERT_BYTES, 0);
	answer_headers(skb, f, bytes, IPPROTO_TCP);
	return 0;
}

/* The part of a packet that an ICMP error quotes: the IP header and 8 bytes. */
#define ANSWER_QUOTE_IPV4 (sizeof(struct iphdr) + 8)
#define ANSWER_QUOTE_IPV6 (sizeof(struct ipv6hdr) + 8)
#define ANSWER_ICMP_BYTES 8

/* RFC 1812 5.2.7.1; RFC 4443 3.1 */
enum {
	ICMP_PROHIBITED = 13,
	ICMP6_PROHIBITED = 1,
};

/* The length of the IP packet that answer_icmp makes. */
static __always_inline __u32 answer_icmp_bytes(const struct frame *f)
{
	return ANSWER_ICMP_BYTES + (parse_is_ipv6(f) ? sizeof(struct ipv6hdr) + ANSWER_QUOTE_IPV6 : sizeof(struct iphdr) + ANSWER_QUOTE_IPV4);
}

/* Makes the frame an ICMP error to the client: communication administratively prohibited.
 * Where the checksum of UDP is offloaded, the device will add the sum of all from here to
 * the place of that checksum, which is an unused word of ICMP: the sum is then right again
 * if the pseudo-header is there, as it is for UDP. */
static __always_inline int answer_icmp(struct __sk_buff *skb, const struct frame *f)
{
	const bool ipv6 = parse_is_ipv6(f);
	const __u32 bytes = ANSWER_ICMP_BYTES + (ipv6 ? ANSWER_QUOTE_IPV6 : ANSWER_QUOTE_IPV4);
	const __u8 protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	const __u64 pseudo = ipv6 ? answer_pseudo_sum(f, bytes, protocol) : 0;
	struct {
		__u8 type, code;
		__sum16 check;
		__be16 unused;
		__sum16 udp_check;
		__u8 quote[ANSWER_QUOTE_IPV6];
	} icmp = {};

	if (ipv6 ? bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, ANSWER_QUOTE_IPV6) :
		   bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, ANSWER_QUOTE_IPV4))
		return -1;
	if (bpf_skb_change_tail(skb, f->l4_off + bytes, 0))
		return -1;
	icmp.type = ipv6 ? ICMP6_UNREACHABLE : ICMP_UNREACHABLE;
	icmp.code = ipv6 ? ICMP6_PROHIBITED : ICMP_PROHIBITED;
	if (f->protocol == IPPROTO_UDP && answer_checksum_offloaded(skb, f->l4_off + ANSWER_UDP_CHECK))
		icmp.udp_check = answer_fold(pseudo);
	icmp.check = ~answer_fold(pseudo + answer_sum(&icmp, sizeof(icmp)));
	if (ipv6)
		bpf_skb_store_bytes(skb, f->l4_off, &icmp, ANSWER_ICMP_BYTES + ANSWER_QUOTE_IPV6, 0);
	else
		bpf_skb_store_bytes(skb, f->l4_off, &icmp, ANSWER_ICMP_BYTES + ANSWER_QUOTE_IPV4, 0);
	answer_headers(skb, f, bytes, protocol);
	return 0;
}

/* Makes a segment of the peer, on its way to the client, a reset of the same connection. */
static __always_inline int answer_reset_in_place(struct __sk_buff *skb, const struct frame *f, struct tcphdr *tcp)
{
	const __u64 pseudo = answer_pseudo_sum(f, ANSWER_TCP_BYTES, IPPROTO_TCP);

	if (bpf_skb_change_tail(skb, f->l4_off + ANSWER_TCP_BYTES, 0))
		return -1;
	((__u8 *)tcp)[ANSWER_TCP_FLAGS - 1] = ANSWER_TCP_BYTES / 4 << 4;
	((__u8 *)tcp)[ANSWER_TCP_FLAGS] = TCP_RST | TCP_ACK;
	tcp->window = 0;
	tcp->urg_ptr = 0;
	tcp->check = 0;
	tcp->check = answer_checksum_offloaded(skb, f->l4_off + ANSWER_TCP_CHECK) ?
			     answer_fold(pseudo) :
			     (__u16)~answer_fold(pseudo + answer_sum(tcp, sizeof(*tcp)));
	bpf_skb_store_bytes(skb, f->l4_off, tcp, sizeof(*tcp), 0);
	answer_headers(skb, f, ANSWER_TCP_BYTES, IPPROTO_TCP);
	return 0;
}
