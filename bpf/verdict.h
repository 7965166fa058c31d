/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict about a frame: pass or drop, and why. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "account.h"
#include "config.h"
#include "maps.h"
#include "parse.h"
#include "preauth.h"
#include "router.h"
#include "rwnd.h"
#include "wire.h"

static __always_inline bool verdict_passes(enum reason reason)
{
	return reason == PASS_FORWARDED || reason == PASS_LOCAL || reason == PASS_PREAUTH || reason == PASS_BRIDGED;
}

static __always_inline bool verdict_bridged(const struct frame *f)
{
	return config_bridge_port && !f->group && !bpf_map_lookup_elem(&router_macs, &f->peer_mac);
}

/* A station that claims to be the router: at the other's port its frame would look
 * like one from the internet, and be charged. */
static __always_inline bool verdict_spoofs_router(enum direction dir, const struct frame *f)
{
	return dir == UPLOAD && bpf_map_lookup_elem(&router_macs, &f->client);
}

/* What the router does not forward: it costs nothing. With options that may route
 * it onward, a packet to the router is not local. */
static __always_inline bool verdict_local(const struct frame *f)
{
	return f->group || f->ethertype == bpf_htons(ETH_P_ARP) || f->ethertype == bpf_htons(ETH_P_PAE) ||
	       (f->router && !f->options);
}

/* What a client whose account has ended may do still. The frame is read again: else
 * the verifier would take each way in which it can be read through the account. */
static __always_inline enum reason verdict_after_end(struct __sk_buff *skb, enum direction dir, const struct frame *f,
						 __u64 now, enum reason why)
{
	struct frame again = {};

	if (parse_ethernet(skb, dir, &again) || parse_network(skb, dir, &again))
		return DROP_MALFORMED;
	again.router = again.ip && router_owns(&again.peer);
	again.wire = f->wire;
	return preauth_frame(skb, dir, &again, now, why);
}

/* The rule in force for a client. It stays as it is while the packet is here. */
static __always_inline const struct rule *verdict_rule(const struct mac_key *mac)
{
	const __u32 *index = bpf_map_lookup_elem(&client_index, mac);
	struct client *c = index ? bpf_map_lookup_elem(&clients, index) : NULL;
	__u32 in_force = c ? *(volatile __u32 *)&c->in_force : 0;

	return in_force ? &c->rule[(in_force - 1) & (ABI_RULES - 1)] : NULL;
}

/* Whether a frame is of another address than the rule is bound to: somebody else's,
 * or the client's before it was connected with a new lease. IPv6 hosts make addresses
 * as they like, so that none tells who it is. */
static __always_inline bool verdict_not_bound_address(const struct frame *f, const struct rule *r)
{
	__be32 self;

	if (!config_bind || !r->bound_be || f->ethertype != bpf_htons(ETH_P_IP))
		return false;
	__builtin_memcpy(&self, f->self.addr + sizeof(f->self.addr) - sizeof(self), sizeof(self));
	return self != r->bound_be;
}

/* A frame between one client with a rule and one peer. */
static __always_inline enum reason verdict_client(struct __sk_buff *skb, enum direction dir, const struct frame *f,
						  const struct rule *r, __u64 now)
{
	struct account *u = bpf_map_lookup_elem(&accounts, &r->account_index);
	enum reason why = DROP_NO_ACCOUNT, reason;
	bool ended = true;

	if (u && u->id != r->account)
		u = NULL;
	if (u) {
		const bool local = verdict_local(f);
		const struct fair_flow flow = fair_flow(skb, dir, f, r, local);

		why = account_frame(u, r, dir, f, &flow, local, now, &ended);
		if (why == PASS_FORWARDED)
			rwnd_frame(skb, dir, r, u, &flow, now);
	}
	if (!ended)
		return why;
	reason = verdict_after_end(skb, dir, f, now, why);
	if (u)
		account_ended(u, r, why, verdict_passes(reason), f, now);
	return reason;
}

static __always_inline enum reason verdict(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	const struct rule *r;
	__u64 now;

	if (parse_ethernet(skb, dir, f))
		return DROP_MALFORMED;
	if (verdict_bridged(f))
		return verdict_spoofs_router(dir, f) ? DROP_MALFORMED : PASS_BRIDGED;
	r = verdict_rule(&f->client);
	if (r && r->verdict == VERDICT_BLOCK)
		return DROP_BLOCKED;
	if (r && r->verdict != VERDICT_ALLOW)
		r = NULL;
	if (parse_network(skb, dir, f))
		return DROP_MALFORMED;
	f->router = f->ip && router_owns(&f->peer);
	wire_segments(skb, f);
	if (dir == DOWNLOAD && f->group)
		return preauth_group(skb, f);
	now = bpf_ktime_get_boot_ns();
	if (!r || verdict_not_bound_address(f, r))
		return preauth_frame(skb, dir, f, now, r ? DROP_BOUND : DROP_NO_RULE);
	return verdict_client(skb, dir, f, r, now);
}
