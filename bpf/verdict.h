/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict about a frame: pass or drop, and why. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "account.h"
#include "compiler.h"
#include "config.h"
#include "dns.h"
#include "fair.h"
#include "group.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "preauth.h"
#include "router.h"
#include "rwnd.h"
#include "wire.h"

static __always_inline bool verdict_passes(enum reason reason)
{
	return reason == PASS_FORWARDED || reason == PASS_LOCAL || reason == PASS_PREAUTH || reason == PASS_BRIDGED ||
	       reason == PASS_LINK_CONTROL || reason == PASS_OTHER_VLAN;
}

/* Drops that captive.c has the last word on: of devices that do not pay. */
static __always_inline bool verdict_unpaid(enum reason reason)
{
	return reason == DROP_NO_RULE || reason == DROP_LIMIT || reason == DROP_DEADLINE || reason == DROP_BOUND;
}

/* Whether a frame is of a VLAN that ends in another interface of the router than the
 * client-facing one: an uplink on the same cable, say. Frames of other VLANs are judged. */
static __always_inline bool verdict_vlan(struct __sk_buff *skb, const struct frame *f)
{
	const struct vlan_key key = {.ifindex = skb->ifindex, .protocol_be = f->vlan_protocol, .id = f->vlan};

	return f->vlan && bpf_map_lookup_elem(&router_vlans, &key);
}

/* Spanning tree, LACP, LLDP, 802.1X, PAUSE: without them links fail and loops form. They go
 * to 01:80:c2:00:00:00 to 0f, which no router forwards, and a bridge only by its
 * group_fwd_mask or without spanning tree. The router's IP would take packets to these addresses as
 * well; those are judged, as all IP is. So is what is too deep in tags to be read. */
static __always_inline bool verdict_link_control(enum direction dir, const struct frame *f)
{
	const struct mac_key *to = dir == UPLOAD ? &f->peer_mac : &f->client;

	return f->group && parse_is_link_control(to) && f->ethertype != bpf_htons(ETH_P_IP) &&
	       f->ethertype != bpf_htons(ETH_P_IPV6) && f->ethertype != bpf_htons(ETH_P_PPP_SES) &&
	       !parse_is_vlan(f->ethertype);
}

/* On a bridge port, what the router neither sent nor takes. It takes what goes to a group,
 * at the port where that comes in; at the others that is bridged. */
static __always_inline bool verdict_bridged(enum direction dir, const struct frame *f)
{
	const __u32 first = 0;
	const __u32 *full;

	if (!config_bridge_port || (dir == UPLOAD && f->group) || bpf_map_lookup_elem(&router_macs, &f->peer_mac))
		return false;
	full = bpf_map_lookup_elem(&router_macs_full, &first);
	return full && !*full;
}

/* A station with the router's MAC: at another port its frame would be taken for one from
 * the internet, and be charged. */
static __always_inline bool verdict_spoofs_router(enum direction dir, const struct frame *f)
{
	return dir == UPLOAD && bpf_map_lookup_elem(&router_macs, &f->client);
}

/* Frames that the router does not forward: they are free. A packet to the router with
 * options that may route it onward is not local. */
static __always_inline bool verdict_local(const struct frame *f)
{
	return f->group || f->ethertype == bpf_htons(ETH_P_ARP) || f->ethertype == bpf_htons(ETH_P_PAE) ||
	       (f->router && !f->options);
}

static __always_inline enum account_kind verdict_kind(const struct packet *p)
{
	if (!verdict_local(p->frame))
		return ACCOUNT_FORWARDED;
	return dns_is(p) ? ACCOUNT_DNS : ACCOUNT_LOCAL;
}

/* A client whose account has ended has pre-auth access. The frame is parsed again: the
 * verifier would follow each way through the parser through the account otherwise. */
static __always_inline enum reason verdict_after_end(const struct packet *p, enum reason why)
{
	struct frame f = {};
	const struct packet again = {.skb = p->skb, .dir = p->dir, .frame = &f, .now = p->now};

	if (parse_ethernet(p->skb, p->dir, &f) || parse_network(p->skb, p->dir, &f))
		return DROP_MALFORMED;
	f.router = f.ip && router_owns(&f.peer);
	f.wire = p->frame->wire;
	return preauth_frame(&again, why);
}

/* The rule in force for a client. It is not written while the packet is here. */
static __always_inline const struct rule *verdict_rule(const struct mac_key *mac)
{
	const __u32 *index = bpf_map_lookup_elem(&client_index, mac);
	struct client *c = index ? bpf_map_lookup_elem(&clients, index) : NULL;
	__u32 in_force = c ? READ_ONCE(c->in_force) : 0;

	return in_force ? &c->rule[(in_force - 1) & (ABI_RULES - 1)] : NULL;
}

/* Whether a frame is not of the address that its client is bound to: another device's, or
 * the client's of before its lease. IPv6 hosts choose their addresses, so none
 * identifies a client. */
static __always_inline bool verdict_not_bound_address(const struct frame *f, const struct rule *r)
{
	__be32 self;

	if (!config_bind || !r->bound_be || f->ethertype != bpf_htons(ETH_P_IP))
		return false;
	__builtin_memcpy(&self, f->self.addr + sizeof(f->self.addr) - sizeof(self), sizeof(self));
	return self != r->bound_be;
}

/* A frame between one client with a rule and one peer. */
static __always_inline enum reason verdict_client(struct packet *p)
{
	enum reason why = DROP_NO_ACCOUNT, reason;
	bool ended = true;

	p->account = bpf_map_lookup_elem(&accounts, &p->rule->account_index);
	if (p->account && p->account->id != p->rule->account)
		p->account = NULL;
	if (p->account) {
		const enum account_kind kind = verdict_kind(p);

		if (kind != ACCOUNT_LOCAL)
			p->flow = fair_flow(p);
		why = account_frame(p, kind, &ended);
		if (why == PASS_FORWARDED)
			rwnd_frame(p);
	}
	if (!ended)
		return why;
	if (p->account)
		why = account_end_reason(p);
	reason = verdict_after_end(p, why);
	if (p->account)
		account_ended(p, why, verdict_passes(reason));
	return reason;
}

static __always_inline enum reason verdict(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	struct packet p = {.skb = skb, .dir = dir, .frame = f};

	if (parse_ethernet(skb, dir, f))
		return DROP_MALFORMED;
	if (f->group | f->vlan) { /* one branch for most frames */
		if (verdict_vlan(skb, f))
			return PASS_OTHER_VLAN;
		if (verdict_link_control(dir, f))
			return PASS_LINK_CONTROL;
	}
	if (verdict_bridged(dir, f))
		return verdict_spoofs_router(dir, f) ? DROP_MALFORMED : PASS_BRIDGED;
	p.rule = verdict_rule(&f->client);
	if (p.rule && p.rule->verdict == VERDICT_BLOCK)
		return DROP_BLOCKED;
	if (p.rule && p.rule->verdict != VERDICT_ALLOW)
		p.rule = NULL;
	if (parse_network(skb, dir, f))
		return DROP_MALFORMED;
	f->router = f->ip && router_owns(&f->peer);
	wire_segments(skb, f);
	if (dir == DOWNLOAD && f->group)
		return preauth_group(&p);
	if (group_is_routable(dir, f) && group_keep_on_link(skb, f))
		return DROP_MALFORMED;
	p.now = bpf_ktime_get_boot_ns();
	if (!p.rule || verdict_not_bound_address(f, p.rule))
		return preauth_frame(&p, p.rule ? DROP_BOUND : DROP_NO_RULE);
	return verdict_client(&p);
}
