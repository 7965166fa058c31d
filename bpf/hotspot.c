// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The programs of a client-facing interface. They know MACs, rules and accounts, no
 * sessions. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"
#include "stats.h"
#include "verdict.h"

/* bpf2go finds types by their use in a global of the object. These share the read-only
 * section of the load-time constants; hidden, they are no variables in Go. */
__hidden const enum abi *const type_abi = NULL;
__hidden const enum direction *const type_direction = NULL;
__hidden const enum preauth_speed *const type_preauth_speed = NULL;
__hidden const enum verdict *const type_verdict = NULL;
__hidden const enum event_kind *const type_event_kind = NULL;
__hidden const enum reason *const type_reason = NULL;
__hidden const enum captive_https *const type_captive_https = NULL;
__hidden const enum garden_count *const type_garden_count = NULL;
__hidden const enum garden_program *const type_garden_program = NULL;
__hidden const struct event *const type_event = NULL;
__hidden const struct fair *const type_fair = NULL;

static __always_inline int handle(struct __sk_buff *skb, enum direction dir)
{
	struct frame f = {};
	enum reason reason = verdict(skb, dir, &f);

	if (verdict_unpaid(reason)) {
		skb->cb[0] = reason;
		/* Returns when there is none. */
		bpf_tail_call(skb, dir == UPLOAD ? (void *)&captive_ingress : (void *)&captive_egress, 0);
	}
	stats_count(dir, reason, &f);
	if (!verdict_passes(reason))
		return TC_ACT_SHOT;
	/* What the router itself sends may be an answer of its DNS. Returns when no name is in
	 * the walled garden. That the router is the peer is not asked here: the verifier would
	 * remember it from the parser on. */
	if (dir == DOWNLOAD && !skb->ingress_ifindex)
		bpf_tail_call(skb, &garden_egress, GARDEN_ANSWER);
	/* TC_ACT_UNSPEC: the next program of the hook decides. */
	return TC_ACT_UNSPEC;
}

SEC("tc/ingress")
int from_client(struct __sk_buff *skb)
{
	return handle(skb, UPLOAD);
}

SEC("tc/egress")
int to_client(struct __sk_buff *skb)
{
	return handle(skb, DOWNLOAD);
}

char _license[] SEC("license") = "Dual BSD/GPL";
