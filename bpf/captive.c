// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The last word on a frame that was dropped because its device does not pay: it may be of a
 * name in the walled garden, or be answered. Reached by a tail call from the programs of
 * hotspot.c, and absent when there is neither. The answers need no socket, no state and no
 * agent.
 *
 * A TCP connection is accepted by a SYN cookie: the sequence number is a keyed hash of
 * addresses and ports, so that the acknowledgement of the first data shows that the device
 * saw it. Each frame is answered by one frame at most, and no answer is answered.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "answer.h"
#include "compiler.h"
#include "garden.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "preauth.h"
#include "preauth_bucket.h"
#include "stats.h"
#include "wire.h"

#define PORT_HTTP 80
#define PORT_HTTPS 443

/* Load-time constants. */
volatile const __u64 captive_secret[2] = {}; /* of the SYN cookies */
volatile const __u32 captive_mark = 0;       /* of answers, between the two hooks; 0: there are none */
volatile const __u8 captive_https = 0;       /* enum captive_https */
volatile const __u8 captive_unreachable = 0; /* UDP and others are answered by ICMP */
volatile const __u64 captive_quiet_ns = 0;   /* after an end only port 80 is answered */
volatile const __u64 captive_news_ns = 0;    /* the first answer after none for this long is an event */

/* A connection that lived when its session ended is reset when its peer sends, for this
 * long. */
#define CAPTIVE_RESET_NS 60000000000ULL

struct segment {
	struct tcphdr tcp;
	__u8 flags;
	__u32 seq;
	__u32 ack;
	__u32 payload; /* bytes */
	__u32 next;    /* the sequence number behind it */
};

#define CAPTIVE_SECOND_NS 1000000000ULL

/* Notifies user space that a device is answered, within the speed of such events: MACs are
 * made up at no cost. */
static __always_inline void captive_notify(const struct frame *f, __u64 now)
{
	const struct bucket_cost one = {.charge_ns = CAPTIVE_SECOND_NS, .admit_ns = CAPTIVE_SECOND_NS};
	struct preauth_bucket *all = preauth_bucket_of_all();
	struct event e = {.at_ns = now, .mac = f->client, .kind = EVENT_CAPTIVE};

	if (all && bucket_charge(&all->tat_ns[PREAUTH_NEWS], one, ABI_CAPTIVE_NEWS_BURST * CAPTIVE_SECOND_NS, now))
		bpf_ringbuf_output(&events, &e, sizeof(e), 0);
}

/* By answers, whatever their bytes. */
static __always_inline bool captive_may_answer(const struct frame *f, __u64 now)
{
	const struct bucket_cost one = {.charge_ns = ABI_CAPTIVE_NS, .admit_ns = ABI_CAPTIVE_NS};
	struct preauth_bucket *own = preauth_bucket(f);
	/* Of a device without a backlog: about when it was answered last. */
	const __u64 last = own ? READ_ONCE(own->tat_ns[PREAUTH_ANSWERS]) : 0;

	if (!preauth_charge_own(own, PREAUTH_ANSWERS, one, ABI_CAPTIVE_MACS, (__u64)ABI_CAPTIVE_NS * ABI_CAPTIVE_BURST, now))
		return false;
	if (!last || last + captive_news_ns <= now)
		captive_notify(f, now);
	return true;
}

/* What the tables say of a device whose frame was dropped. */
struct captive_device {
	bool open;      /* it has a balance: its frame did not fit the rest, a shorter one may */
	__u64 ended_ns; /* when its session ended; 0: it had none that is known */
};

static __always_inline struct captive_device captive_device(const struct frame *f, __u64 now)
{
	const __u32 *index = bpf_map_lookup_elem(&client_index, &f->client);
	const struct client *c = index ? bpf_map_lookup_elem(&clients, index) : NULL;
	struct captive_device d = {};
	const struct account *account;
	const struct rule *rule;
	__u32 in_force;

	if (!c)
		return d;
	in_force = READ_ONCE(c->in_force);
	if (!in_force) {
		d.ended_ns = (__u64)READ_ONCE(c->revoked_s) * 1000000000ULL;
		return d;
	}
	rule = &c->rule[(in_force - 1) & (ABI_RULES - 1)];
	if (rule->deadline_ns <= now) {
		d.ended_ns = rule->deadline_ns;
		return d;
	}
	account = bpf_map_lookup_elem(&accounts, &rule->account_index);
	if (!account || account->id != rule->account)
		return d;
	d.open = account->exhausted_limit != rule->limit_bytes;
	d.ended_ns = account->last_seen_ns;
	return d;
}

static __always_inline bool captive_within(__u64 since, __u64 ns, __u64 now)
{
	return since && now - since < ns;
}

/* MurmurHash3's finalizer over each word: enough mixing that a cookie does not reveal
 * another's. A device that guesses one is only led to the portal. */
static __always_inline __u32 captive_mix(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x85ebca6b;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35;
	return hash ^ hash >> 16;
}

static __always_inline __u32 captive_cookie(const struct frame *f, const struct segment *s)
{
	__u32 words[8], hash = captive_secret[0];

	__builtin_memcpy(words, &f->self, 16);
	__builtin_memcpy(words + 4, &f->peer, 16);
#pragma unroll
	for (int i = 0; i < 8; i++)
		hash = captive_mix(hash, words[i]);
	hash = captive_mix(hash, (__u32)s->tcp.source << 16 | s->tcp.dest);
	return captive_mix(hash ^ captive_secret[0] >> 32, captive_secret[1]);
}

static __always_inline int captive_segment(struct __sk_buff *skb, const struct frame *f, struct segment *s)
{
	/* Of a super-packet wire counts the headers of all segments. */
	const __u32 bytes = skb->gso_size ? skb->len - f->l3_off : f->wire;
	__u8 offset_and_flags[2];
	__u32 header;

	if (bpf_skb_load_bytes(skb, f->l4_off, &s->tcp, sizeof(s->tcp)) ||
	    bpf_skb_load_bytes(skb, f->l4_off + ANSWER_TCP_FLAGS - 1, offset_and_flags, sizeof(offset_and_flags)))
		return -1;
	header = (offset_and_flags[0] >> 4) * 4;
	if (header < ANSWER_TCP_BYTES || f->l4_off - f->l3_off + header > bytes)
		return -1;
	s->flags = offset_and_flags[1];
	s->payload = bytes - (f->l4_off - f->l3_off) - header;
	s->seq = bpf_ntohl(s->tcp.seq);
	s->ack = bpf_ntohl(s->tcp.ack_seq);
	s->next = s->seq + s->payload + !!(s->flags & TCP_FIN);
	return 0;
}

/* The answer of a server that sends what fits one segment to whatever it is asked, and
 * closes; false: the segment acknowledges what was not sent, most at most. The length of
 * the page may have changed since. */
static __always_inline bool captive_serve(const struct segment *s, __u32 cookie, __u32 most, __u8 payload, struct answer *a)
{
	const __u32 acknowledged = s->ack - (cookie + 1);

	if (acknowledged > most + 1)
		return false;
	a->ack = s->next;
	if (acknowledged) {
		a->seq = s->ack;
		a->flags = TCP_ACK;
		return true;
	}
	a->seq = cookie + 1;
	if (!s->payload) {
		a->flags = TCP_ACK | TCP_FIN;
		return true;
	}
	a->flags = TCP_PSH | TCP_ACK | TCP_FIN;
	a->payload = payload;
	return true;
}

static __always_inline enum reason captive_reset(const struct segment *s, struct answer *a)
{
	if (s->flags & TCP_ACK) {
		a->seq = s->ack;
		a->flags = TCP_RST;
	} else {
		a->ack = s->next + !!(s->flags & TCP_SYN);
		a->flags = TCP_RST | TCP_ACK;
	}
	return ANSWER_RESET;
}

/* What the port of a segment serves. */
static __always_inline enum answer_payload captive_served(const struct segment *s, bool quiet)
{
	if (s->tcp.dest == bpf_htons(PORT_HTTP))
		return ANSWER_PAGE;
	if (s->tcp.dest == bpf_htons(PORT_HTTPS) && captive_https == CAPTIVE_HTTPS_ALERT && !quiet)
		return ANSWER_ALERT;
	return ANSWER_NOTHING;
}

/* How much the port's answer takes of the sequence numbers, without its FIN. */
static __always_inline __u32 captive_most(enum answer_payload served)
{
	return served == ANSWER_PAGE ? ABI_CAPTIVE_PAGE_BYTES : ANSWER_ALERT_BYTES;
}

/* Whether a segment is of a connection that captive_serve did not accept. */
static __always_inline bool captive_foreign(const struct frame *f, const struct segment *s, enum answer_payload served)
{
	return !served || s->ack - (captive_cookie(f, s) + 1) > captive_most(served) + 1;
}

/* Whether a segment is answered. It is decided before the answer: the verifier follows the
 * limits of answers once for all of them. A bare acknowledgement may itself be an answer, and
 * gets none. But one that ends the session, or is the last that the client sends, is all
 * that a reset can answer. */
static __always_inline bool captive_answers_tcp(const struct frame *f, const struct segment *s, enum answer_payload served,
						bool quiet, bool ended)
{
	if (s->flags & TCP_RST)
		return false;
	if (!(s->flags & TCP_SYN))
		return s->flags & TCP_ACK && (s->payload || s->flags & TCP_FIN || (ended && captive_foreign(f, s, served)));
	if (s->flags & (TCP_ACK | TCP_FIN))
		return false;
	return served || !(quiet || captive_https == CAPTIVE_HTTPS_DROP);
}

static __always_inline enum reason captive_tcp(const struct frame *f, const struct segment *s, enum answer_payload served,
					       struct answer *a)
{
	const __u32 cookie = captive_cookie(f, s);

	if (!served)
		return captive_reset(s, a);
	if (s->flags & TCP_SYN) {
		a->seq = cookie;
		a->ack = s->seq + 1;
		a->flags = TCP_SYN | TCP_ACK;
		return ANSWER_HANDSHAKE;
	}
	if (!captive_serve(s, cookie, captive_most(served), served, a))
		return captive_reset(s, a);
	return a->payload == ANSWER_PAGE ? ANSWER_REDIRECT : a->payload == ANSWER_ALERT ? ANSWER_TLS_ALERT : ANSWER_HANDSHAKE;
}

static __always_inline bool captive_parse(struct __sk_buff *skb, enum direction dir, struct frame *f)
{
	if (parse_ethernet(skb, dir, f) || parse_network(skb, dir, f))
		return false;
	wire_segments(skb, f);
	return true;
}

/* Of one host: no group, and not of "this network" (RFC 1122, 3.2.1.3). */
static __always_inline bool captive_is_host(const struct frame *f, const struct addr_key *a)
{
	if (parse_is_ipv6(f))
		return a->addr[0] != 0xff;
	return a->addr[12] && a->addr[12] < 224;
}

/* Frames that are answered at all: whole packets between two hosts, without a tag, not even
 * one of priority. */
static __always_inline bool captive_answerable(const struct frame *f)
{
	return f->ip && f->l3_off == ETH_HLEN && !f->vlan && !f->group && !f->fragment && !f->options && captive_is_host(f, &f->peer) &&
	       captive_is_host(f, &f->self);
}

/* Whether devices are answered, and this one. Those bound to another address get silence. */
static __always_inline bool captive_answers(enum reason why)
{
	return captive_mark && why != DROP_BOUND;
}

/* Decides on the answer and makes it of the frame; why: there is none. */
static __always_inline enum reason captive_answer(const struct packet *p, enum reason why)
{
	struct __sk_buff *skb = p->skb;
	const struct frame *f = p->frame;
	const __u64 now = p->now;
	const bool tcp = f->protocol == IPPROTO_TCP;
	enum answer_payload served = ANSWER_NOTHING;
	struct captive_device d;
	struct answer a = {};
	struct segment s = {};
	enum reason reason;
	bool quiet, answers;

	if (!captive_answerable(f))
		return why;
	d = captive_device(f, now);
	if (d.open)
		return why;
	quiet = captive_within(d.ended_ns, captive_quiet_ns, now);
	if (tcp) {
		if (captive_segment(skb, f, &s))
			return why;
		served = captive_served(&s, quiet);
		answers = captive_answers_tcp(f, &s, served, quiet, captive_within(d.ended_ns, CAPTIVE_RESET_NS, now));
	} else {
		answers = captive_unreachable && !quiet && f->protocol != IPPROTO_ICMP && f->protocol != IPPROTO_ICMPV6 && f->wire >= answer_icmp_bytes(f);
	}
	if (!answers || !captive_may_answer(f, now))
		return why;
	if (!tcp)
		return answer_icmp(skb, f) ? why : ANSWER_UNREACHABLE;
	reason = captive_tcp(f, &s, served, &a);
	return answer_tcp(skb, f, &s.tcp, &a) ? why : reason;
}

/* Reached from from_client, with the reason in cb[0]. */
SEC("tc/ingress")
int captive_from_client(struct __sk_buff *skb)
{
	enum reason why = skb->cb[0], reason = why;
	struct frame f = {};
	const struct packet p = {.skb = skb, .dir = UPLOAD, .frame = &f, .now = bpf_ktime_get_boot_ns()};

	if (captive_parse(skb, UPLOAD, &f)) {
		reason = garden_frame(&p, why);
		if (reason == why && captive_answers(why))
			reason = captive_answer(&p, why);
	}
	stats_count(UPLOAD, reason, &f);
	if (reason == PASS_GARDEN)
		return TC_ACT_UNSPEC;
	if (reason == why || reason == DROP_GARDEN_RATE)
		return TC_ACT_SHOT;
	skb->mark = captive_mark;
	return bpf_redirect(skb->ifindex, 0);
}

/* What a server sends to a device whose session has ended becomes the news of it. */
static __always_inline enum reason captive_end(const struct packet *p, enum reason why)
{
	const struct frame *f = p->frame;
	const __u64 now = p->now;
	const struct captive_device d = captive_device(f, now);
	struct segment s;

	if (d.open || !captive_answerable(f) || f->protocol != IPPROTO_TCP)
		return why;
	if (!captive_within(d.ended_ns, CAPTIVE_RESET_NS, now))
		return why;
	if (captive_segment(p->skb, f, &s) || s.flags & (TCP_RST | TCP_SYN) || !captive_may_answer(f, now))
		return why;
	return answer_reset_in_place(p->skb, f, &s.tcp) ? why : ANSWER_RESET;
}

/* Errors about what the device sent to the walled garden, as in preauth_frame. */
static __always_inline enum reason captive_error(const struct packet *p, enum reason why)
{
	const struct frame *f = p->frame;

	if (!garden_on || !f->ip || f->vlan || f->group || f->fragment || f->options)
		return why;
	if (f->protocol != IPPROTO_ICMP && f->protocol != IPPROTO_ICMPV6)
		return why;
	return garden_error(p) ? preauth_limited(p, PREAUTH_ERRORS) : why;
}

/* Reached from to_client, with the reason in cb[0]. */
SEC("tc/egress")
int captive_to_client(struct __sk_buff *skb)
{
	enum reason why = skb->cb[0], reason = why;
	struct frame f = {};
	const struct packet p = {.skb = skb, .dir = DOWNLOAD, .frame = &f, .now = bpf_ktime_get_boot_ns()};

	if (captive_mark && skb->mark == captive_mark) {
		skb->mark = 0;
		captive_parse(skb, DOWNLOAD, &f);
		stats_count(DOWNLOAD, PASS_ANSWER, &f);
		return TC_ACT_UNSPEC;
	}
	if (captive_parse(skb, DOWNLOAD, &f)) {
		reason = garden_frame(&p, why);
		if (reason == why)
			reason = captive_error(&p, why);
		if (reason == why && captive_answers(why))
			reason = captive_end(&p, why);
	}
	stats_count(DOWNLOAD, reason, &f);
	return reason == PASS_GARDEN || reason == PASS_PREAUTH || reason == ANSWER_RESET ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
