/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map: key and value, writer, reader, and what happens when it is full. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * One hash finds a client. All else about it is found by index, in arrays, which the
 * kernel looks up in a few instructions, and which Go maps into its memory.
 *
 * Memory that a packet in flight may still use is not reused before an RCU grace period:
 * a rule, an account, the element of a removed key of client_index. Go waits for it.
 */

/* client MAC -> index in clients. Go writes the keys, the programs read. A key outlives
 * its rule, until Go needs the index. Full: Go refuses the next client with an error. Go
 * sets max_entries, here and below. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, __u32);
} client_index SEC(".maps");

/* index -> rules of a client. Go writes a rule in a slot that is not in force, and then
 * in_force; the programs read. As large as client_index. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct client);
} clients SEC(".maps");

/* index -> account, with its counters. The programs write, by atomic operations; Go reads,
 * and writes the id. Larger than clients, as a paused account stays until it is settled.
 * Full: Go refuses the next account. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 9216);
	__type(key, __u32);
	__type(value, struct account);
} accounts SEC(".maps");

/* index -> queues of an account with a speed, with config_fair; else one unused entry. The
 * programs write and read, under the lock of each direction. Full: the account has its
 * bucket alone. BPF_F_MMAPABLE aligns the values to a page, and each to a cache line; the
 * map is not mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct flows);
} flows SEC(".maps");

/* direction -> total of all clients. Go writes its speed at start, the programs read and
 * write the rest, under its lock. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DIRECTIONS);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

/* The router's own MACs (set), looked up with config_bridge_port only. Go writes, following
 * netlink; the programs read. Full: router_macs_full is set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, __u8);
} router_macs SEC(".maps");

/* 0 -> whether router_macs lacks some: then no frame is certain to be bridged, and all are
 * judged. Go writes, the programs read with config_bridge_port only. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} router_macs_full SEC(".maps");

/* VLANs of client-facing interfaces that have a device of their own on the router, which is
 * not client-facing (set). Go writes, following netlink; the programs read. Full: Go
 * reports it; the frames of those left out are judged. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct vlan_key);
	__type(value, __u8);
} router_vlans SEC(".maps");

/* The router's own addresses (set). Go writes, following netlink; the programs read. Full:
 * Go logs it, traffic with that address is debited. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct addr_key);
	__type(value, __u8);
} router_addrs SEC(".maps");

/* 0 -> Bloom filter of router_addrs, which saves most packets that lookup. Go writes, at no
 * time with a bit missing; the programs read. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[ABI_FILTER_BITS / 64]);
} router_filter SEC(".maps");

/* Services open before paying (set). Go writes at start, the programs read. Full: Go does
 * not start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct portal_key);
	__type(value, __u8);
} portals SEC(".maps");

/* Networks open before paying (set). Go writes at start, the programs read. Full: Go does
 * not start. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct prefix_key);
	__type(value, __u8);
} walled_garden SEC(".maps");

/* Names in the walled garden (set). Go writes at start, the programs read. Full: Go does not
 * start. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct name_key);
	__type(value, __u8);
} garden_names SEC(".maps");

/* Addresses of these names -> until when they are open. The programs write and read; Go
 * reads, and empties it when a name is taken out. Full: the address that was not used for
 * longest is closed, and health reports it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10000);
	__type(key, struct addr_key);
	__type(value, struct garden_addr);
} garden_addrs SEC(".maps");

/* The router's end of a TCP connection for DNS -> the sequence number at which the next
 * message begins. The programs write and read. Full: the answers on the oldest connection are
 * not read. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct dns_stream);
	__type(value, __u32);
} dns_streams SEC(".maps");

/* enum garden_count -> count. The programs write, Go reads. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GARDEN_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} garden_counts SEC(".maps");

/* enum garden_program -> program of garden.c, which reads what the router sends to clients.
 * Go writes at start; empty: no name is in the walled garden. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, GARDEN_PROGRAMS);
	__type(key, __u32);
	__type(value, __u32);
} garden_egress SEC(".maps");

/* client MAC -> buckets of its DNS and ICMP errors before paying, of the answers to it, and
 * of its traffic with addresses of names.
 * The programs write and read. Full: the least recently used MAC starts anew. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct mac_key);
	__type(value, struct preauth_bucket);
} preauth_buckets SEC(".maps");

/* 0 -> the same of all MACs together. The programs write and read. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct preauth_bucket);
} preauth_bucket_all SEC(".maps");

/* index in clients -> bucket of the client's free DNS. The programs write and read. It is of
 * the client and not of the account, so that a pause does not fill it. As large as
 * client_index; the next client with the index takes the bucket over as it is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct dns_bucket);
} client_dns SEC(".maps");

/* 0 -> the program of captive.c that has the last word on a dropped frame of that hook. Go
 * writes at start; empty: silence, and no name in the walled garden. Programs in one array must have one attach type, so
 * there are two. A pin of the array keeps the program. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} captive_ingress SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} captive_egress SEC(".maps");

/* direction * REASONS + reason -> frames and bytes. The programs write, Go reads. Fixed
 * size. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DIRECTIONS * REASONS);
	__type(key, __u32);
	__type(value, struct stat);
} stats SEC(".maps");

/* Ends of accounts, and devices that are answered (struct event). The programs write, Go
 * reads. Full: the next dropped packet notifies of the end, and the next reading finds it;
 * answers go without. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

/* 0 -> identity of this set of maps. Go writes once and reads. Fixed size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta);
} identity SEC(".maps");
