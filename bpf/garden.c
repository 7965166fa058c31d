// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Learns the addresses of the names in the walled garden, from the answers of the router's DNS
 * on their way to any client: they are open before the client has them, and while no agent
 * runs. The programs are reached by a tail call from to_client, which has let the frame
 * pass; whatever they find, it passes.
 *
 * Only the router is believed. A frame with its address that came in by an interface is a
 * client's. An answer over TCP is read where a message begins: clients have a part in
 * what is inside of answers, and in how a connection is cut into segments.
 *
 * An answer is about the name in its question. All addresses in its answer section count,
 * those behind CNAMEs as well, with the hints of HTTPS records (RFC 9460). Records are read
 * some at a time, as no program may take long to verify: a tail call continues.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "compiler.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "router.h"
#include "service.h"

#define LEARN_STEPS 48 /* of one program */
#define LEARN_NS_PER_S 1000000000ULL

/* RFC 1035, 4.1.1 */
enum dns_flag {
	DNS_RESPONSE = 0x8000,
	DNS_OPCODE = 0x7800,
	DNS_RCODE = 0x000f,
};

enum dns_type {
	DNS_A = 1,
	DNS_AAAA = 28,
	DNS_HTTPS = 65,
};

#define DNS_IN 1
#define DNS_LABEL 63      /* bytes at most */
#define DNS_POINTER 0xc0  /* the first byte of a compressed name's end */

/* RFC 9460, 14.3.2 */
enum svc_param {
	SVC_IPV4_HINT = 4,
	SVC_IPV6_HINT = 6,
};

struct dns_header {
	__be16 id, flags, questions, answers, authorities, additional;
};

/* Behind the name of a question. */
struct dns_asked {
	__be16 type, class;
};

/* Behind the name of a record. */
struct dns_record {
	__be16 type, class;
	__be32 ttl;
	__be16 bytes;
} __attribute__((packed));

/* The text of names in lower case; 0 for a byte that no host name has, and that matches none
 * of an entry. */
static const __u8 learn_text[256] = {
	['-'] = '-', ['_'] = '_',
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
	['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
	['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
	['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
	['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
	['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

/* The name of a question, too large for the stack. What loops change is here as well, so that
 * the verifier knows nothing of it: it then follows one way through a loop, not one for each
 * number of rounds. A run stays on its CPU to its end. */
struct learn_scratch {
	__u8 name[ABI_NAME_BYTES]; /* as in the message */
	struct name_key key;
	__u32 bytes;
	/* Of the parameters of an HTTPS record. */
	__u32 at;
	__u32 left;   /* bytes of the parameter */
	__u32 size;   /* of an address in it */
	__u32 target; /* not 0: in the name before the parameters */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct learn_scratch);
} garden_scratch SEC(".maps");

/* Where the reading of records is, in skb->cb. */
enum learn_place {
	LEARN_AT,      /* the next record, as an offset in the frame */
	LEARN_END,     /* of the message */
	LEARN_RECORDS, /* left */
	LEARN_HINTS,   /* the parameters of an HTTPS record, */
	LEARN_TTL,     /* and its TTL */
};

static __always_inline void learn_count(enum garden_count of)
{
	__u32 key = of;
	__u64 *count = bpf_map_lookup_elem(&garden_counts, &key);

	if (count)
		(*count)++;
}

/* Not private, shared, of a link, a group's or reserved (RFC 6890). The networks for
 * documentation are no risk. */
static __always_inline bool learn_is_global4(__u32 addr)
{
	const __u32 first = addr >> 24;

	return !((first == 0) | (first == 10) | (first == 127) | (first >= 224) | (addr >> 22 == 0x64400000 >> 22) |
		 (addr >> 16 == 0xa9fe) | (addr >> 20 == 0xac1) | (addr >> 16 == 0xc0a8));
}

/* Of IPv6 what is assigned to the internet, 2000::/3 (RFC 4291), and IPv4 behind NAT64
 * (RFC 6052). */
static __always_inline bool learn_is_global(const struct addr_key *a)
{
	__be32 words[4];
	bool mapped, translated;

	__builtin_memcpy(words, a, sizeof(words));
	mapped = !(words[0] | words[1] | (words[2] ^ bpf_htonl(0xffff)));
	translated = !((words[0] ^ bpf_htonl(0x0064ff9b)) | words[1] | words[2]);
	if (mapped | translated)
		return learn_is_global4(bpf_ntohl(words[3]));
	return bpf_ntohl(words[0]) >> 29 == 1;
}

/* Opens an address for the TTL of its record. */
static __always_inline void learn_address(const struct addr_key *addr, __u32 ttl)
{
	const __u32 now = bpf_ktime_get_boot_ns() / LEARN_NS_PER_S;
	struct garden_addr fresh = {.until_s = now + ABI_GARDEN_LEAST_S, .named_s = now}, *known;

	if (!learn_is_global(addr) || router_owns(addr)) {
		learn_count(GARDEN_REFUSED);
		return;
	}
	/* One with the highest bit is 0 (RFC 2181, 8). */
	if (ttl > ABI_GARDEN_LEAST_S && !(ttl >> 31))
		fresh.until_s = now + (ttl < ABI_GARDEN_MOST_S ? ttl : ABI_GARDEN_MOST_S);
	learn_count(GARDEN_ADDRESSES);
	known = bpf_map_lookup_elem(&garden_addrs, addr);
	if (!known) {
		bpf_map_update_elem(&garden_addrs, addr, &fresh, BPF_ANY);
		return;
	}
	WRITE_ONCE(known->named_s, now);
	if (READ_ONCE(known->until_s) < fresh.until_s)
		WRITE_ONCE(known->until_s, fresh.until_s);
}

/* Writes the key of the name in scratch. False: no whole name. */
static __always_inline bool learn_key(struct learn_scratch *s)
{
	__u32 left = 0, bytes;

	s->bytes = 0;
	for (int i = 0; i < ABI_NAME_BYTES / 2; i++) {
		__u32 at = s->bytes;
		__u8 label;

		if (at >= ABI_NAME_BYTES - 1)
			return false;
		barrier_var(at);
		label = s->name[at & (ABI_NAME_BYTES - 1)];
		if (!label)
			break;
		if (label > DNS_LABEL)
			return false;
		s->bytes = at + 1 + label;
	}
	bytes = s->bytes;
	if (!bytes || bytes >= ABI_NAME_BYTES - 1)
		return false;
	/* No branch depends on what the name is: the verifier would follow both. */
	for (__u32 i = 0; i < ABI_NAME_BYTES - 1; i++) {
		__u32 byte, ends, to;

		if (i >= bytes)
			break;
		byte = s->name[i];
		ends = (left - 1) >> 31; /* a label begins: 1, if none is left of the one before */
		barrier_var(ends);
		to = bytes - 1 - i;
		barrier_var(to);
		s->key.text[to & (ABI_NAME_BYTES - 1)] = (learn_text[byte & 0xff] & (ends - 1)) | ('.' & -ends);
		left = ((left - 1) & (ends - 1)) | (byte & -ends);
	}
	bytes = READ_ONCE(s->bytes);
	s->key.text[bytes & (ABI_NAME_BYTES - 1)] = 0;
	s->key.prefix_len = (bytes + 1) * 8;
	return true;
}

/* A message between two offsets in the frame. */
struct learn_message {
	__u32 at, end;
};

/* Loads as many bytes of a name as there are. */
static __always_inline bool learn_load(struct __sk_buff *skb, const struct learn_message *m, struct learn_scratch *s)
{
	const __u32 at = m->at + sizeof(struct dns_header);
	__u32 more = m->end - at - 1;

	if (m->end <= at)
		return false;
	if (more > ABI_NAME_BYTES - 1)
		more = ABI_NAME_BYTES - 1;
	barrier_var(more);
	more &= ABI_NAME_BYTES - 1;
	return !bpf_skb_load_bytes(skb, at, s->name, more + 1);
}

/* Whether the message is an answer about a name in the walled garden. Sets where its records
 * begin, and how many there are. */
static __always_inline bool learn_question(struct __sk_buff *skb, struct learn_message *m, __u32 *records)
{
	const __u32 first = 0;
	struct learn_scratch *s = bpf_map_lookup_elem(&garden_scratch, &first);
	struct dns_header h;
	struct dns_asked asked;

	if (!s || m->end - m->at < sizeof(h) || bpf_skb_load_bytes(skb, m->at, &h, sizeof(h)))
		return false;
	if ((h.flags & bpf_htons(DNS_RESPONSE | DNS_OPCODE | DNS_RCODE)) != bpf_htons(DNS_RESPONSE))
		return false;
	if (h.questions != bpf_htons(1) || !h.answers || !learn_load(skb, m, s) || !learn_key(s))
		return false;
	if (!bpf_map_lookup_elem(&garden_names, &s->key))
		return false;
	m->at += sizeof(h) + s->bytes + 1;
	if (m->at + sizeof(asked) > m->end || bpf_skb_load_bytes(skb, m->at, &asked, sizeof(asked)))
		return false;
	m->at += sizeof(asked);
	*records = bpf_ntohs(h.answers);
	return asked.class == bpf_htons(DNS_IN);
}

/* The message in a datagram. */
static __always_inline bool learn_datagram(const struct frame *f, struct learn_message *m)
{
	m->at = f->l4_off + sizeof(struct udphdr);
	m->end = f->l3_off + f->wire;
	return m->at <= m->end;
}

/* The message that begins with a segment, or the part of it that is in there. A connection
 * of which one message did not end with its segment is not read any further. */
static __always_inline bool learn_stream(struct __sk_buff *skb, const struct frame *f, struct learn_message *m, bool *partial)
{
	struct dns_stream stream = {.client = f->self};
	struct tcphdr tcp;
	__u32 payload, seq, *next;
	__be16 length;

	if (bpf_skb_load_bytes(skb, f->l4_off, &tcp, sizeof(tcp)))
		return false;
	stream.port_be = tcp.dest;
	seq = bpf_ntohl(tcp.seq);
	if (tcp.syn) {
		seq++;
		bpf_map_update_elem(&dns_streams, &stream, &seq, BPF_ANY);
		return false;
	}
	next = bpf_map_lookup_elem(&dns_streams, &stream);
	m->at = f->l4_off + tcp.doff * 4;
	m->end = f->l3_off + f->wire;
	if (!next || *next != seq || m->at >= m->end)
		return false;
	payload = m->end - m->at;
	if (payload > sizeof(length) && !bpf_skb_load_bytes(skb, m->at, &length, sizeof(length)) &&
	    payload == sizeof(length) + bpf_ntohs(length)) {
		*next = seq + payload;
		m->at += sizeof(length);
		return true;
	}
	bpf_map_delete_elem(&dns_streams, &stream);
	*partial = true;
	m->at += sizeof(length);
	return m->at < m->end;
}

/* Finds the message in a frame of the router's DNS. */
static __always_inline bool learn_find(struct __sk_buff *skb, struct learn_message *m, bool *partial)
{
	struct frame f = {};
	const struct packet p = {.skb = skb, .dir = DOWNLOAD, .frame = &f};
	struct packet_ports ports;

	if (parse_ethernet(skb, DOWNLOAD, &f) || parse_network(skb, DOWNLOAD, &f) || !f.ip || f.fragment || f.options)
		return false;
	if (!packet_ports(&p, &ports) || ports.peer != bpf_htons(PORT_DNS) || !router_owns(&f.peer))
		return false;
	return f.protocol == IPPROTO_UDP ? learn_datagram(&f, m) : learn_stream(skb, &f, m, partial);
}

SEC("tc/egress")
int garden_answer(struct __sk_buff *skb)
{
	struct learn_message m = {};
	bool partial = false;
	__u32 records;

	if (!learn_find(skb, &m, &partial))
		return TC_ACT_UNSPEC;
	/* The verifier forgets what it knows of them. */
	skb->cb[LEARN_AT] = m.at;
	skb->cb[LEARN_END] = m.end;
	skb->cb[LEARN_RECORDS] = partial;
	m.at = READ_ONCE(skb->cb[LEARN_AT]);
	m.end = READ_ONCE(skb->cb[LEARN_END]);
	if (!learn_question(skb, &m, &records))
		return TC_ACT_UNSPEC;
	learn_count(GARDEN_ANSWERS);
	if (READ_ONCE(skb->cb[LEARN_RECORDS]))
		learn_count(GARDEN_PARTIAL);
	skb->cb[LEARN_AT] = m.at;
	skb->cb[LEARN_RECORDS] = records;
	bpf_tail_call(skb, &garden_egress, GARDEN_RECORDS);
	return TC_ACT_UNSPEC;
}

/* What a step found. */
enum learn_step {
	STEP_NEXT,   /* the place of the next step is set */
	STEP_BROKEN, /* the message ends here */
	STEP_HINTS,  /* a record with parameters */
};

/* The rest of a record, behind its name. */
static __always_inline enum learn_step learn_record(struct __sk_buff *skb, __u32 *at, __u32 end)
{
	struct addr_key addr = {.addr[10] = 0xff, .addr[11] = 0xff};
	struct dns_record r;
	__u32 data = *at + sizeof(r), bytes;
	bool known = false;

	if (data > end || bpf_skb_load_bytes(skb, *at, &r, sizeof(r)))
		return STEP_BROKEN;
	bytes = bpf_ntohs(r.bytes);
	*at = data + bytes;
	if (*at > end)
		return STEP_BROKEN;
	if (r.class != bpf_htons(DNS_IN))
		return STEP_NEXT;
	if (r.type == bpf_htons(DNS_HTTPS)) {
		skb->cb[LEARN_HINTS] = data;
		skb->cb[LEARN_TTL] = bpf_ntohl(r.ttl);
		return STEP_HINTS;
	}
	if (r.type == bpf_htons(DNS_A) && bytes == 4)
		known = !bpf_skb_load_bytes(skb, data, addr.addr + 12, 4);
	else if (r.type == bpf_htons(DNS_AAAA) && bytes == 16)
		known = !bpf_skb_load_bytes(skb, data, &addr, 16);
	if (known)
		learn_address(&addr, bpf_ntohl(r.ttl));
	return STEP_NEXT;
}

/* Reads records from cb[LEARN_AT] on: a label of a name in each step, or the end of the name
 * with the record. */
SEC("tc/egress")
int garden_records(struct __sk_buff *skb)
{
	const __u32 end = skb->cb[LEARN_END];

	for (int i = 0; i < LEARN_STEPS; i++) {
		__u32 at = skb->cb[LEARN_AT];
		enum learn_step step;
		__u8 label;

		if (!skb->cb[LEARN_RECORDS])
			return TC_ACT_UNSPEC;
		if (at >= end || bpf_skb_load_bytes(skb, at, &label, sizeof(label)))
			goto broken;
		if (label && label <= DNS_LABEL) {
			skb->cb[LEARN_AT] = at + 1 + label;
			continue;
		}
		if (label && label < DNS_POINTER)
			goto broken;
		at += label ? 2 : 1;
		step = learn_record(skb, &at, end);
		if (step == STEP_BROKEN)
			goto broken;
		skb->cb[LEARN_AT] = at;
		skb->cb[LEARN_RECORDS] = skb->cb[LEARN_RECORDS] - 1;
		if (step == STEP_HINTS) {
			bpf_tail_call(skb, &garden_egress, GARDEN_HINTS);
			goto broken;
		}
	}
	bpf_tail_call(skb, &garden_egress, GARDEN_RECORDS);
broken:
	/* Or as many tail calls as one frame may take. */
	learn_count(GARDEN_PARTIAL);
	return TC_ACT_UNSPEC;
}

/* A label of the target in front of the parameters. False: no name. */
static __always_inline bool learn_target(struct __sk_buff *skb, struct learn_scratch *s)
{
	__u8 label;

	if (bpf_skb_load_bytes(skb, s->at, &label, sizeof(label)) || label > DNS_LABEL)
		return false;
	s->at += 1 + label;
	s->target = label;
	return true;
}

/* The head of a parameter, and all of it if it has no addresses. */
static __always_inline bool learn_param(struct __sk_buff *skb, struct learn_scratch *s)
{
	struct {
		__be16 key, bytes;
	} param;
	__u32 bytes;

	if (bpf_skb_load_bytes(skb, s->at, &param, sizeof(param)))
		return false;
	bytes = bpf_ntohs(param.bytes);
	s->size = param.key == bpf_htons(SVC_IPV4_HINT) ? 4 : 16;
	s->left = bytes & ~(s->size - 1);
	s->at += sizeof(param);
	if ((param.key == bpf_htons(SVC_IPV4_HINT) || param.key == bpf_htons(SVC_IPV6_HINT)) && s->left == bytes)
		return true;
	s->left = 0;
	s->at += bytes;
	return true;
}

/* An address in a parameter. */
static __always_inline bool learn_hint(struct __sk_buff *skb, struct learn_scratch *s, __u32 end)
{
	struct addr_key addr = {.addr[10] = 0xff, .addr[11] = 0xff};
	const __u32 at = s->at, size = s->size;

	if (at + size > end)
		return false;
	if (size == 4 ? bpf_skb_load_bytes(skb, at, addr.addr + 12, 4) : bpf_skb_load_bytes(skb, at, &addr, 16))
		return false;
	learn_address(&addr, skb->cb[LEARN_TTL]);
	s->at += size;
	s->left -= size;
	return true;
}

/* Reads the hints of an HTTPS record from cb[LEARN_HINTS] on: a label of its target in each
 * step, then the head of a parameter, or an address. */
SEC("tc/egress")
int garden_hints(struct __sk_buff *skb)
{
	const __u32 first = 0, end = skb->cb[LEARN_AT];
	struct learn_scratch *s = bpf_map_lookup_elem(&garden_scratch, &first);

	if (!s)
		return TC_ACT_UNSPEC;
	s->at = skb->cb[LEARN_HINTS] + 2; /* behind the priority */
	s->left = 0;
	s->target = 1;
	for (int i = 0; i < LEARN_STEPS; i++) {
		if (s->at >= end)
			break;
		if (!(s->target ? learn_target(skb, s) : s->left ? learn_hint(skb, s, end) : learn_param(skb, s)))
			break;
	}
	bpf_tail_call(skb, &garden_egress, GARDEN_RECORDS);
	learn_count(GARDEN_PARTIAL);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
