// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"

/* bpf2go finds types by their use in a global of the object. */
const enum reason *unused_reason __attribute__((unused));
const struct event *unused_event __attribute__((unused));

SEC("tc/ingress")
int from_client(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

SEC("tc/egress")
int to_client(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
