/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the Go side agree on: keys, values, enums, limits.
 * No code. The Go types are generated from here. Change anything in it and
 * ABI_LAYOUT_VERSION goes up: pinned maps of another version are not adopted.
 *
 * Time is CLOCK_BOOTTIME in ns. Bytes are wire bytes of IP packets.
 */
#pragma once

#include <linux/types.h>

#define ABI_LAYOUT_VERSION 6

/* rate_ns_per_byte is fixed point with this many fraction bits: the product with
 * ABI_COST_BYTES fits 64 bits from 1 kbit/s up (Go sets no lower speed), and
 * 10 Gbit/s is held to about 1e-6. */
#define ABI_RATE_SHIFT 20
/* The bucket charges at most this much of one super-packet (BIG TCP ends below). */
#define ABI_COST_BYTES (1U << 19)
/* A packet is admitted by at most this much of its length, so that a super-packet
 * passes the bucket of a slow client; all of it is charged. */
#define ABI_ADMIT_BYTES 1514
#define ABI_NO_LIMIT (~0ULL)
#define ABI_NO_INDEX (~0U)

/* Places for the rule of a client: one is in force, others are still read by packets
 * in flight. A power of two. */
#define ABI_RULES 4
/* Bits of router_filter. */
#define ABI_FILTER_BITS 1024

/* The queues of one account and direction that tell flows apart: sets of FLOW_WAYS,
 * in each of which a flow takes the queue that is free. */
#define ABI_FLOWS 32
#define ABI_FLOW_WAYS 8
#define ABI_FLOW_SAMPLES 3
/* The TCP flows of which the scale of the windows is kept, by account and direction:
 * sets of SCALE_WAYS. More than queues, as most connections are idle. */
#define ABI_SCALES 64
#define ABI_SCALE_WAYS 4

/* The clock of the uplink: a power of two. With more clients that fill their share at
 * once than there are slots in a burst, shares get uneven. */
#define ABI_UPLINK_SLOTS 512

/* DNS before paying, both directions together, for each MAC: 16 kbit/s is about
 * ten lookups a second, and too slow for a tunnel; 16 KiB at once is a page with
 * many names. */
#define ABI_DNS_NS_PER_BYTE 500000ULL
#define ABI_DNS_BURST_NS (16384 * ABI_DNS_NS_PER_BYTE)
/* All MACs together get as much as so many: 1 Mbit/s, 1 MiB at once. Who takes a new
 * MAC again and again has a full bucket each time. A power of two. */
#define ABI_DNS_MACS 64

/* Direction, as the client sees it; also an array index. */
enum direction {
	UPLOAD = 0,
	DOWNLOAD = 1,
	DIRECTIONS = 2,
};

enum verdict {
	VERDICT_NONE = 0,
	VERDICT_ALLOW = 1,
	VERDICT_BLOCK = 2,
};

/* Why a frame was passed or dropped; the labels of status and metrics.
 * Append only: a code is never reused. */
enum reason {
	PASS_FORWARDED = 0,   /* a connected client's, debited */
	PASS_LOCAL = 1,       /* a connected client's, to or from the router: free */
	PASS_PREAUTH = 2,   /* what any device may do before paying */
	PASS_BRIDGED = 3,     /* on a bridge port: not to or from the router */
	DROP_NO_RULE = 4,
	DROP_BLOCKED = 5,
	DROP_RATE = 6,
	DROP_LIMIT = 7,
	DROP_DEADLINE = 8,
	DROP_MALFORMED = 9,
	DROP_PREAUTH_RATE = 10, /* DNS before paying, over its speed */
	DROP_NO_ACCOUNT = 11,     /* a rule without its account: never in health */
	DROP_BUSY = 12,           /* other CPUs took what is left of the limit too fast */
	DROP_UPLINK = 13,         /* over the client's share of the total */
	DROP_BOUND = 14,          /* not the address that the client is bound to, and no allowance */
	REASONS = 15,
};

enum event_kind {
	EVENT_EXHAUSTED = 1,
	EVENT_DEADLINE = 2,
};

/* 8 bytes, so that the hash takes one word. */
struct mac_key {
	__u8 addr[6];
	__u8 pad[2];
};

/* IPv6, or IPv4 mapped into ::ffff:0:0/96. */
struct addr_key {
	__u8 addr[16];
};

/* bpf_lpm_trie_key with an address as above: IPv4 prefixes are 96 longer. */
struct prefix_key {
	__u32 prefix_len;
	__u8 addr[16];
};

/* One service that any device may reach. addr all zero: the router's own addresses. */
struct portal_key {
	__u8 addr[16];
	__u16 port_be;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 pad;
};

struct speed {
	__u64 bit_per_s;        /* 0: no limit; for reading back */
	__u64 rate_ns_per_byte; /* fixed point, ABI_RATE_SHIFT */
	__u64 burst_ns;         /* depth of the bucket */
};

struct rule {
	__u64 account;
	__u64 limit_bytes; /* of account.spent; ABI_NO_LIMIT */
	__u64 deadline_ns; /* nothing passes from here on; ABI_NO_LIMIT */
	struct speed speed[DIRECTIONS];
	__u32 account_index; /* of the account in accounts */
	__u32 flows_index;   /* of its queues in flows, or ABI_NO_INDEX */
	__u32 verdict; /* enum verdict */
	__be32 bound_be; /* the client's only IPv4 address, where config_bind is set; 0: any */
};

struct client {
	__u32 in_force; /* 1 + index of the rule in force; 0: none */
	__u32 pad;
	struct rule rule[ABI_RULES];
};

struct counter {
	__u64 bytes;
	__u64 packets; /* of the wire: a super-packet counts its segments */
};

/* GCRA, ITU-T I.371. */
struct bucket {
	__u64 tat_ns;           /* theoretical arrival time of the next packet */
	__u64 rate_ns_per_byte; /* the rate that tat_ns was reckoned with */
};

/* The phantom queues of one direction. Times on the clock are virtual, see fair.h. What
 * each packet needs comes first, in one cache line. */
struct fair {
	__u64 vtime_ns;
	__u64 vtime_at_ns; /* the real time at which vtime_ns was right */
	__u64 first_empty_ns;     /* on the clock: no queue is empty before */
	__u64 last_empty_ns;     /* on the clock: all queues are empty after */
	__u64 sampled_ns;  /* when backlogged[0] was counted */
	__u32 active;      /* queues that are not empty */
	__u8 backlogged[ABI_FLOW_SAMPLES]; /* flows that filled their queue, latest count first */
	__u8 pad;
	__u32 greedy;    /* a bit for each: its flow filled its share once */
	__u32 clamped; /* a bit for each: and is steered, see rwnd.h */
	__u32 lock;    /* 1: held */
	__u32 pad2;
	__u64 finish_ns[ABI_FLOWS];   /* on the clock: this queue is empty after */
	__u32 tag[ABI_FLOWS];         /* of the flow that has it */
	__u32 scales[ABI_SCALES];     /* of windows, see rwnd.h */
};

struct flows {
	struct fair fair[DIRECTIONS];
};

/* The total of all clients in one direction, see uplink.h. */
struct uplink {
	struct speed speed; /* Go writes */
	__u64 slot_shift;   /* Go writes: a slot is 1 << slot_shift ns on the clock */
	__u32 lock;         /* 1: held */
	__u32 pad;
	struct bucket bucket; /* of all clients */
	__u64 vtime_at_ns;  /* the real time at which the clock was right */
	__u64 slot;         /* of the clock: the work of all slots before is done */
	__u64 last_slot;    /* with work */
	__u32 sharers;      /* clients that filled the slot before */
	__u32 share;        /* 1 / sharers, fixed point, UPLINK_SHARE_SHIFT */
	__u64 work[ABI_UPLINK_SLOTS]; /* ns, and in the upper bits which round of the clock's it is of */
};

struct account {
	__u64 id;      /* 0: this place is free. Go writes it, with all else 0 */
	__u64 spent;   /* bytes of both directions: the one word by which the limit decides */
	struct counter counter[DIRECTIONS];
	struct bucket bucket[DIRECTIONS];
	__u64 uplink_ns[DIRECTIONS]; /* on the uplink's clock: what is queued there ends here */
	__u64 rate_drops;     /* frames over the speed, or over the share of the uplink */
	__u64 limit_drops;    /* frames after the limit was met */
	__u64 deadline_drops; /* frames after the deadline */
	__u64 last_seen_ns;
	__u64 exhausted_limit;    /* the limit_bytes that was exhausted: closed until it changes */
	__u64 notified_limit;     /* 1 + the limit_bytes of whose end user space was told */
	__u64 notified_deadline;  /* the deadline_ns of which it was told that it has passed */
};

struct dns_bucket {
	__u64 tat_ns; /* GCRA at ABI_DNS_NS_PER_BYTE */
};

struct stat {
	__u64 packets; /* frames, as the hook sees them */
	__u64 bytes;   /* wire bytes */
};

struct event {
	__u64 account;
	__u64 at_ns;
	struct mac_key mac;
	__u32 kind; /* enum event_kind */
	__u32 pad;
};

/* The same in every version, as are the names by which another version finds what was
 * counted (struct account: id, counter, bytes): it reads them by the map's BTF. */
struct meta {
	__u32 layout_version;
	__u32 pad;
	__u64 epoch; /* random, of this set of counters */
};

_Static_assert(sizeof(struct mac_key) == 8, "one word to hash");
_Static_assert(sizeof(struct portal_key) == 20, "no hidden padding in a key");
_Static_assert(sizeof(struct prefix_key) == 20, "no hidden padding in a key");
_Static_assert(sizeof(struct client) == 360, "layout");
_Static_assert(sizeof(struct account) == 152, "layout");
_Static_assert(sizeof(struct flows) == 1408, "layout");
_Static_assert(__builtin_offsetof(struct fair, finish_ns) == 64 && sizeof(struct fair) % 64 == 0, "cache lines");
_Static_assert(sizeof(struct uplink) == 88 + 8 * ABI_UPLINK_SLOTS, "layout");
_Static_assert(sizeof(struct event) == 32, "layout");
