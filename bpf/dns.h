/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS of a connected client. The router's resolver asks the internet for what it is asked,
 * so that DNS with the router can carry a tunnel: it is free up to a speed, and what is
 * beyond is forwarded traffic. No other service of the router's leads past it, unless the
 * operator has it do so.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "maps.h"
#include "packet.h"
#include "service.h"

#define DNS_BURST_NS ((__u64)ABI_DNS_BURST_BYTES * ABI_DNS_NS_PER_BYTE)

/* Whether a frame with the router may be of DNS. Fragments may: only the first has ports,
 * and a long answer travels in several. */
static __always_inline bool dns_is(const struct packet *p)
{
	struct packet_ports ports;

	if (!p->frame->router)
		return false;
	if (p->frame->fragment)
		return true;
	return packet_ports(p, &ports) && (ports.peer == bpf_htons(PORT_DNS) || ports.peer == bpf_htons(PORT_DNS_TLS));
}

/* Charges a frame of DNS that is free, or returns false. */
static __always_inline bool dns_free(const struct packet *p)
{
	const __u32 *index = bpf_map_lookup_elem(&client_index, &p->frame->client);
	struct dns_bucket *b = index ? bpf_map_lookup_elem(&client_dns, index) : NULL;

	return b && bucket_charge(&b->tat_ns, bucket_fixed_cost(p->frame, ABI_DNS_NS_PER_BYTE), DNS_BURST_NS, p->now);
}
