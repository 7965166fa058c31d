/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map, with who writes it, who reads it, and what happens when it is full. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* client MAC -> what to enforce. Go writes, the programs read.
 * Full: Go refuses the next client with a clear error. Go sets max_entries.
 * Since 6.1 the kernel reuses the memory of a replaced or removed element at once,
 * so that a packet in flight on another CPU could read the next element in its
 * place: Go lets an RCU grace period pass after it replaced or removed a rule and
 * before it writes the next one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, struct rule);
} rules SEC(".maps");

/* account -> what passed. Go makes and removes keys, the programs write values,
 * Go reads them (BPF_F_LOCK, for a consistent value). Sized above rules, as a
 * paused account lives on until settled. Full: Go refuses the next account. Go
 * removes a key only after a grace period past the last rule that named it (see
 * rules): a late packet counts to its own account or to none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct usage);
} usages SEC(".maps");

/* account -> its flows' queues, where the limiter is fair and the rule has a speed;
 * else one entry that nobody uses. Go makes and removes keys with those of usages,
 * the programs write values, under the lock of the account's usage, and nobody else
 * reads them: apart from usages, because a reading would copy seven times as much.
 * Full: Go refuses the next account. Without its key an account has its bucket alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct flows);
} flows SEC(".maps");

/* The router's own MACs (set), looked up in port mode only. Go writes as netlink
 * tells, the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct mac_key);
	__type(value, __u8);
} router_macs SEC(".maps");

/* The router's own addresses (set). Go writes as netlink tells, the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct addr_key);
	__type(value, __u8);
} router_addrs SEC(".maps");

/* Services open before paying (set). Go writes at start, the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct portal_key);
	__type(value, __u8);
} portals SEC(".maps");

/* Networks open before paying (set). Go writes at start, the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct prefix_key);
	__type(value, __u8);
} walled_garden SEC(".maps");

/* client MAC -> bucket of its DNS before paying. The programs write and read.
 * Full: the least recently used MAC starts with a full bucket again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, struct allowance);
} allowances SEC(".maps");

/* direction * REASONS + reason -> frames. The programs write, Go reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DIRECTIONS * REASONS);
	__type(key, __u32);
	__type(value, struct stat);
} stats SEC(".maps");

/* Ends of accounts. The programs write, Go reads. Full: the end is told with the
 * next dropped packet, and found by the next reading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

/* Identity of this set of maps. Go writes once, Go reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta);
} identity SEC(".maps");
