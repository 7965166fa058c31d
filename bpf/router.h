/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether an address is the router's own. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"

/* The bit of an address in router_filter; the same as routerBit in Go. */
static __always_inline __u32 router_bit(const struct addr_key *addr)
{
	__u64 words[2];

	__builtin_memcpy(words, addr, sizeof(words));
	return (words[0] ^ words[1]) * ABI_FILTER_MULTIPLIER >> (64 - ABI_FILTER_ORDER);
}

static __always_inline bool router_owns(const struct addr_key *addr)
{
	const __u32 first = 0, bit = router_bit(addr);
	const __u64 *filter = bpf_map_lookup_elem(&router_filter, &first);

	if (!filter || !(filter[bit / 64 % (ABI_FILTER_BITS / 64)] >> bit % 64 & 1))
		return false;
	return bpf_map_lookup_elem(&router_addrs, addr);
}
