/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The services that any device may reach: the router's DNS, the portals, the walled garden. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

enum {
	PORT_DNS = 53,
	PORT_DNS_TLS = 853, /* over TCP, RFC 7858; over QUIC, RFC 9250 */
};

static __always_inline bool service_dns(bool router, __be16 port)
{
	return router && port == bpf_htons(PORT_DNS);
}

static __always_inline bool service_portal(const struct addr_key *at, bool router, __u8 protocol, __be16 port)
{
	struct portal_key key = {.port_be = port, .protocol = protocol};
	__u64 words[2];

	if (router && bpf_map_lookup_elem(&portals, &key))
		return true;
	__builtin_memcpy(words, at, sizeof(words));
	if (!(words[0] | words[1]))
		return false; /* without an address, not the router, whose key this is */
	__builtin_memcpy(key.addr, at, sizeof(key.addr));
	return bpf_map_lookup_elem(&portals, &key);
}

static __always_inline bool service_garden(const struct addr_key *at)
{
	struct prefix_key key = {.prefix_len = 8 * sizeof(key.addr)};

	__builtin_memcpy(key.addr, at, sizeof(key.addr));
	return bpf_map_lookup_elem(&walled_garden, &key);
}
