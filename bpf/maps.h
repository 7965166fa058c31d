/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map, with who writes it, who reads it, and what happens when it is full. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * One hash tells who a client is; all else about it is found by index, in arrays,
 * which the kernel looks up in a few instructions. Go maps the arrays into its memory.
 *
 * What a packet in flight may still read is not written: Go lets an RCU grace period
 * pass between the last packet that can know of a place (a rule, a usage, an
 * element of client_index, whose memory the kernel reuses at once) and its next use.
 */

/* client MAC -> index in clients. Go makes and removes keys, the programs read. A key
 * outlives its rule, until Go needs the place. Full: Go refuses the next client with
 * a clear error. Go sets max_entries, here and below. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, __u32);
} client_index SEC(".maps");

/* What to enforce. Go writes a rule in the place that is not in force, and then
 * in_force; the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct client);
} clients SEC(".maps");

/* What passed, by account. The programs write, by atomic operations; Go reads.
 * Sized above clients, as a paused account lives on until settled. Full: Go refuses
 * the next account. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 9216);
	__type(key, __u32);
	__type(value, struct account);
} accounts SEC(".maps");

/* The queues of an account whose rule has a speed, where the limiter is fair; else
 * one entry that nobody uses. The programs write and read, under the lock of each
 * direction. Without its place an account has its bucket alone. Nobody maps it: the
 * flag has the kernel begin the values at a page, and so each at a cache line. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct flows);
} flows SEC(".maps");

/* The total of all clients, by direction. Go writes its speed at start, the programs
 * all else, under its lock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DIRECTIONS);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

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

/* A Bloom filter of router_addrs, which spares most packets its hash. Go writes it,
 * never with a bit missing, the programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[ABI_FILTER_BITS / 64]);
} router_filter SEC(".maps");

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
	__type(value, struct dns_bucket);
} dns_buckets SEC(".maps");

/* The bucket of all DNS before paying. The programs write and read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_bucket);
} dns_bucket_all SEC(".maps");

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
