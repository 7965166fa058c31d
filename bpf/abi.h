/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the Go side share: keys, values, enums, limits. No code. The Go
 * types and constants are generated from here. Any change of a key or value raises
 * ABI_LAYOUT_VERSION: pinned maps of another version are not adopted.
 *
 * Times are CLOCK_BOOTTIME in ns. Bytes are wire bytes of IP packets.
 */
#pragma once

#include <linux/types.h>

enum abi {
	ABI_LAYOUT_VERSION = 7,

	/* rate_ns_per_byte is fixed point with this many fraction bits: the product with
	 * ABI_COST_BYTES fits 64 bits from 1 kbit/s up (Go sets no lower speed), and
	 * 10 Gbit/s is exact to about 1e-6. */
	ABI_RATE_SHIFT = 20,
	/* A bucket charges at most this much of one super-packet (BIG TCP ends below). */
	ABI_COST_BYTES = 1 << 19,
	/* At most this much of a packet must fit a bucket, so that a super-packet passes the
	 * bucket of a slow client. All of it is charged. */
	ABI_ADMIT_BYTES = 1514,
	ABI_NO_INDEX = 0xffffffff,

	/* Slots for the rule of a client: one is in force, packets in flight may still read
	 * others. A power of two. */
	ABI_RULES = 4,

	/* log2 of the bits of router_filter. */
	ABI_FILTER_ORDER = 10,
	ABI_FILTER_BITS = 1 << ABI_FILTER_ORDER,

	/* Queues of one account and direction: sets of ABI_FLOW_WAYS. A flow takes the free
	 * queue of its set. Powers of two. */
	ABI_FLOWS = 32,
	ABI_FLOW_WAYS = 8,
	ABI_FLOW_SAMPLES = 3,
	/* TCP flows of one account and direction whose window scale is known: sets of
	 * ABI_SCALE_WAYS. More than queues, as most connections are idle. */
	ABI_SCALES = 64,
	ABI_SCALE_WAYS = 4,

	/* Slots of the uplink's time wheel, a power of two. Shares get uneven when more
	 * clients fill their share at once than there are slots in a burst. */
	ABI_UPLINK_SLOTS = 512,

	/* DNS before paying, both directions together, of each MAC: 16 kbit/s is about ten
	 * lookups a second, and too slow for a tunnel. 16 KiB at once is a page with many
	 * names. ICMP errors before paying have as much of their own. */
	ABI_PREAUTH_NS_PER_BYTE = 500000,
	ABI_PREAUTH_BURST_BYTES = 16384,
	/* All MACs together get this many times as much: 1 Mbit/s, 1 MiB at once. It bounds
	 * a device that takes a new MAC, and with it a full bucket, again and again. A power
	 * of two. */
	ABI_PREAUTH_MACS = 64,

	/* DNS of a connected client with the router, both directions together, is free up
	 * to 64 kbit/s, 64 KB at once. What is beyond is debited like forwarded traffic. */
	ABI_DNS_NS_PER_BYTE = 125000,
	ABI_DNS_BURST_BYTES = 64000,

	/* The HTTP response of captive.c: an answer fits the smallest MSS, 536 bytes. A
	 * multiple of 4, for bpf_csum_diff. */
	ABI_CAPTIVE_PAGE_BYTES = 480,
	/* Answers of each MAC: 200/s, some 60 connections, and 2 s of them at once. */
	ABI_CAPTIVE_NS = 5000000,
	ABI_CAPTIVE_BURST = 400,
	/* All MACs together get this many times as much. A power of two. */
	ABI_CAPTIVE_MACS = 512,
	/* Events of answers, for all devices together: one a second, and so many at once. */
	ABI_CAPTIVE_NEWS_BURST = 256,

	/* The data of a key in an LPM trie at most, and more than any name (RFC 1035, 3.1). */
	ABI_NAME_BYTES = 256,
	/* An address of a name in the walled garden is open for the TTL of its record, and at
	 * least this long: resolvers of devices and browsers keep names longer. */
	ABI_GARDEN_LEAST_S = 600,
	/* A packet between a device and the address keeps it open this long, */
	ABI_GARDEN_USED_S = 600,
	/* and nothing for longer than this after the last answer with it. */
	ABI_GARDEN_MOST_S = 86400,
	/* At an address of a name these many ports are open at most. */
	ABI_GARDEN_PORTS = 8,
	/* All MACs together get this many times the speed of one. A power of two. */
	ABI_GARDEN_MACS = 512,
};

#define ABI_NO_LIMIT (~0ULL)

/* The hash of router_filter is hash_64() of linux/hash.h, with its GOLDEN_RATIO_64. */
#define ABI_FILTER_MULTIPLIER 0x61c8864680b583ebULL

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

/* Why a frame passed or was dropped: the labels of status and metrics.
 * Append only: a code is never reused. */
enum reason {
	PASS_FORWARDED = 0, /* of a connected client, debited */
	PASS_LOCAL = 1,     /* of a connected client, to or from the router: free */
	PASS_PREAUTH = 2,   /* open to any device before it pays */
	PASS_BRIDGED = 3,   /* on a bridge port: not to or from the router */
	DROP_NO_RULE = 4,
	DROP_BLOCKED = 5,
	DROP_RATE = 6,
	DROP_LIMIT = 7,
	DROP_DEADLINE = 8,
	DROP_MALFORMED = 9,
	DROP_PREAUTH_RATE = 10, /* DNS or ICMP errors before paying, over their speed */
	DROP_NO_ACCOUNT = 11,   /* a rule without its account: never in health */
	DROP_BUSY = 12,         /* other CPUs took the rest of the limit too fast */
	DROP_UPLINK = 13,       /* over the client's share of the total */
	DROP_BOUND = 14,        /* not the address that the client is bound to, and not pre-auth */
	PASS_LINK_CONTROL = 15, /* between the ends of a link: IEEE 802.1Q table 8-1 */
	PASS_OTHER_VLAN = 16,   /* of a VLAN device of the router that is not client-facing */
	ANSWER_HANDSHAKE = 17,  /* became a TCP segment that opens or closes a connection, see captive.c */
	ANSWER_REDIRECT = 18,   /* became the HTTP redirect to the portal */
	ANSWER_TLS_ALERT = 19,
	ANSWER_RESET = 20,       /* became a TCP reset */
	ANSWER_UNREACHABLE = 21, /* became an ICMP error */
	PASS_ANSWER = 22,        /* one of these, on its way to the client */
	PASS_GARDEN = 23,        /* before paying, with an address of a name in the walled garden */
	DROP_GARDEN_RATE = 24,   /* the same, over its speed */
	REASONS = 25,
};

/* How TCP other than HTTP is answered. */
enum captive_https {
	CAPTIVE_HTTPS_DROP = 0,
	CAPTIVE_HTTPS_RESET = 1,
	CAPTIVE_HTTPS_ALERT = 2, /* HTTPS by a TLS alert, the rest as reset */
};

enum event_kind {
	EVENT_EXHAUSTED = 1,
	EVENT_DEADLINE = 2,
	EVENT_CAPTIVE = 3, /* a device that may not pass is answered, after none for captive_news_ns */
};

/* 8 bytes, so that the hash takes one word. */
struct mac_key {
	__u8 addr[6];
	__u8 pad[2];
};

/* One VLAN of one interface. */
struct vlan_key {
	__u32 ifindex;
	__be16 protocol_be; /* of the tag: 802.1Q or 802.1ad */
	__u16 id;
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
	__u64 bit_per_s;        /* 0: no limit */
	__u64 rate_ns_per_byte; /* fixed point, ABI_RATE_SHIFT */
	__u64 burst_ns;         /* depth of the bucket */
};

struct rule {
	__u64 account;     /* id */
	__u64 limit_bytes; /* bound of account.spent, or ABI_NO_LIMIT */
	__u64 deadline_ns; /* nothing passes from here on, or ABI_NO_LIMIT */
	struct speed speed[DIRECTIONS];
	__u32 account_index; /* in accounts */
	__u32 flows_index;   /* in flows, or ABI_NO_INDEX */
	__u32 verdict;       /* enum verdict */
	__be32 bound_be;     /* the client's only IPv4 address, with config_bind; 0: any */
};

struct client {
	__u32 in_force; /* 1 + index of the rule in force; 0: none */
	__u32 revoked_s; /* boot time in s, when the last rule was taken out of force; 0: never */
	struct rule rule[ABI_RULES];
};

struct counter {
	__u64 bytes;
	__u64 packets; /* on the wire: a super-packet counts its segments */
};

/* GCRA, ITU-T I.371. */
struct bucket {
	__u64 tat_ns;           /* theoretical arrival time of the next packet */
	__u64 rate_ns_per_byte; /* of the charges in tat_ns */
};

/* Phantom queues of one direction, see fair.h. Virtual times are on the clock that
 * vtime_ns is. The fields that every packet needs are in the first cache line. */
struct fair {
	__u64 vtime_ns;
	__u64 vtime_at_ns;    /* the real time of vtime_ns */
	__u64 first_empty_ns; /* virtual: no queue empties before */
	__u64 last_empty_ns;  /* virtual: all queues are empty after */
	__u64 sampled_ns;     /* when backlogged[0] was counted */
	__u32 active;         /* queues that are not empty */
	__u8 backlogged[ABI_FLOW_SAMPLES]; /* flows that filled their queue, latest sample first */
	__u8 pad;
	__u32 greedy;  /* bit per queue: its flow filled its share once */
	__u32 clamped; /* bit per queue: and its receive window is clamped, see rwnd.h */
	__u32 lock;    /* see lock.h */
	__u32 pad2;
	__u64 finish_ns[ABI_FLOWS]; /* virtual: the queue is empty after */
	__u32 tag[ABI_FLOWS];       /* hash of the flow that has the queue */
	__u32 scales[ABI_SCALES];   /* window scales, see rwnd.h */
};

struct flows {
	struct fair fair[DIRECTIONS];
};

/* The total of all clients in one direction, see uplink.h. */
struct uplink {
	struct speed speed; /* written by Go */
	__u64 slot_shift;   /* written by Go: a slot is 1 << slot_shift virtual ns */
	__u32 lock;         /* see lock.h */
	__u32 pad;
	struct bucket bucket; /* of all clients */
	__u64 vtime_at_ns;  /* the real time of the virtual clock */
	__u64 slot;         /* of the virtual clock: the work of all slots before is done */
	__u64 last_slot;    /* with work */
	__u32 sharers;      /* clients that filled the slot before */
	__u32 share;        /* 1 / sharers, fixed point, UPLINK_SHARE_SHIFT */
	__u64 work[ABI_UPLINK_SLOTS]; /* ns; above UPLINK_WORK_BITS the round of the wheel */
};

struct account {
	__u64 id;      /* 0: free. Written by Go, with all else 0 */
	__u64 spent;   /* bytes of both directions: the one word that the limit bounds */
	struct counter counter[DIRECTIONS];
	struct bucket bucket[DIRECTIONS];
	__u64 uplink_ns[DIRECTIONS]; /* virtual, of the uplink: the client's queue is empty after */
	__u64 rate_drops;     /* frames over the speed, or over the share of the uplink */
	__u64 limit_drops;    /* frames after the limit was met */
	__u64 deadline_drops; /* frames after the deadline */
	__u64 last_seen_ns;   /* the client's last frame that passed; not those to it */
	__u64 exhausted_limit;   /* the limit_bytes that was exhausted: closed until it changes */
	__u64 notified_limit;    /* 1 + the limit_bytes whose end was notified */
	__u64 notified_deadline; /* the deadline_ns whose passing was notified */
};

/* The key of a name, with the labels from the right to the left, each behind its end: "a.b"
 * is "b.a." and a NUL. A name of an entry that stands for all names below it as well has no
 * NUL. Whole labels match, whatever is in them: no label of a host name has a dot. */
struct name_key {
	__u32 prefix_len; /* bits */
	__u8 text[ABI_NAME_BYTES];
};

/* An address that a name in the walled garden has. Boot time, in s. */
struct garden_addr {
	__u32 until_s; /* open until */
	__u32 named_s; /* by the last answer */
};

/* One direction of a TCP connection: the router's answers to a resolver of a client. */
struct dns_stream {
	struct addr_key client;
	__be16 port_be;
	__u8 pad[2];
};

/* What became of the router's DNS answers, see garden.c: an index. */
enum garden_count {
	GARDEN_ANSWERS = 0,   /* about a name in the walled garden */
	GARDEN_ADDRESSES = 1, /* in them, and open from then on */
	GARDEN_REFUSED = 2,   /* in them, and not of the internet: private, or the router's own */
	GARDEN_PARTIAL = 3,   /* answers of which a part could not be read */
	GARDEN_COUNTS = 4,
};

/* The programs of garden.c: an index. */
enum garden_program {
	GARDEN_ANSWER = 0,
	GARDEN_RECORDS = 1,
	GARDEN_HINTS = 2,
	GARDEN_PROGRAMS = 3,
};

/* What a device that does not pay gets at a speed: an index. */
enum preauth_speed {
	PREAUTH_DNS = 0,
	PREAUTH_ERRORS = 1,  /* of ICMP and ICMPv6 */
	PREAUTH_ANSWERS = 2, /* of captive.c */
	PREAUTH_NEWS = 3,    /* of all devices: the events of answers */
	PREAUTH_GARDEN = 4,  /* with addresses of names in the walled garden */
	PREAUTH_SPEEDS = 5,
};

struct preauth_bucket {
	/* GCRA at ABI_PREAUTH_NS_PER_BYTE; that of answers at ABI_CAPTIVE_NS for each, that of
	 * news at a second, that of the walled garden at garden_speed. */
	__u64 tat_ns[PREAUTH_SPEEDS];
};

struct dns_bucket {
	__u64 tat_ns; /* GCRA at ABI_DNS_NS_PER_BYTE */
};

struct stat {
	__u64 packets; /* frames at the hook */
	__u64 bytes;   /* wire bytes */
};

struct event {
	__u64 account;
	__u64 at_ns;
	struct mac_key mac;
	__u32 kind; /* enum event_kind */
	__u32 pad;
};

/* The same in every layout. Other versions find the counts of an account by the names
 * in the BTF of its map (struct account: id, counter, bytes). */
struct meta {
	__u32 layout_version;
	__u32 pad;
	__u64 epoch; /* random, of this set of counters */
};

_Static_assert(sizeof(struct mac_key) == 8, "one word to hash");
_Static_assert(sizeof(struct vlan_key) == 8, "no hidden padding in a key");
_Static_assert(sizeof(struct portal_key) == 20, "no hidden padding in a key");
_Static_assert(sizeof(struct prefix_key) == 20, "no hidden padding in a key");
_Static_assert(sizeof(struct name_key) == 4 + ABI_NAME_BYTES, "no hidden padding in a key");
_Static_assert(sizeof(struct dns_stream) == 20, "no hidden padding in a key");
_Static_assert(sizeof(struct client) == 360, "layout");
_Static_assert(sizeof(struct account) == 152, "layout");
_Static_assert(sizeof(struct flows) == 1408, "layout");
_Static_assert(__builtin_offsetof(struct fair, finish_ns) == 64 && sizeof(struct fair) % 64 == 0, "cache lines");
_Static_assert(sizeof(struct uplink) == 88 + 8 * ABI_UPLINK_SLOTS, "layout");
_Static_assert(sizeof(struct event) == 32, "layout");
