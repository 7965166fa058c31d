/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame on its way to a verdict, with what was found out about it. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"

/* The flow of a frame, and its queues. */
struct flow {
	struct fair *fair; /* NULL: the bucket alone decides */
	struct flows *all; /* NULL: no direction has queues */
	__u32 tag;         /* hash, the same in both directions */
	__u32 not_tcp;     /* 0: TCP. With a condition the verifier follows both all the way */
	bool small;
};

/* All is inlined, so that the fields are registers and not memory. */
struct packet {
	struct __sk_buff *skb;
	enum direction dir;
	const struct frame *frame;
	__u64 now; /* CLOCK_BOOTTIME */
	const struct rule *rule;
	struct account *account;
	struct flow flow;
};

/* Of UDP and TCP. */
struct packet_ports {
	__be16 client;
	__be16 peer;
};

/* Copies bytes of the packet from off on, if it has them: padding is not of it. */
static __always_inline bool packet_load(const struct packet *p, __u32 off, void *to, __u32 bytes)
{
	const struct frame *f = p->frame;

	return f->wire >= off - f->l3_off + bytes && !bpf_skb_load_bytes(p->skb, off, to, bytes);
}

/* The ports of a packet that is no fragment; false: it has none. */
static __always_inline bool packet_ports(const struct packet *p, struct packet_ports *ports)
{
	__be16 in_packet[2];

	if (p->frame->protocol != IPPROTO_UDP && p->frame->protocol != IPPROTO_TCP)
		return false;
	if (!packet_load(p, p->frame->l4_off, in_packet, sizeof(in_packet)))
		return false;
	ports->client = in_packet[p->dir == UPLOAD ? 0 : 1];
	ports->peer = in_packet[p->dir == UPLOAD ? 1 : 0];
	return true;
}
