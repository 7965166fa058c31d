/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The speed of a client: its bucket alone, or with fair queues for its flows. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "fair.h"
#include "lock.h"
#include "packet.h"
#include "rwnd.h"
#include "share.h"

/* Charges a frame that fits to its flow and to the bucket, or returns false. With the
 * queues locked for long the bucket alone decides, without waiting: the queues add up to
 * less than its backlog for a while then. */
static __always_inline bool limiter_admit_flow(const struct packet *p, struct bucket *b, const struct speed *s,
					       struct bucket_cost cost)
{
	const __u64 packet_ns = bucket_ns(ABI_ADMIT_BYTES, s->rate_ns_per_byte);
	const __u64 backlogged_ns = rwnd_backlogged() * packet_ns;
	struct fair *q = p->flow.fair;
	__u64 queue, queue_ns, limit_ns, total_ns = share_total_ns(s);
	bool admitted = false;

	if (!lock_try_acquire(&q->lock))
		return bucket_admit(b, s, cost, total_ns, p->now);
	fair_renew(q, b, s, p->now);
	fair_sample(q, backlogged_ns, p->now);
	queue = fair_queue(q, p->flow.tag);
	queue_ns = fair_queued(q, queue);
	limit_ns = rwnd_queue_limit(q, queue, s, packet_ns);
	if (!queue_ns || p->flow.small) {
		limit_ns += SHARE_SPARSE * packet_ns;
		total_ns += share_sparse_ns(s);
	}
	if (queue_ns + cost.admit_ns <= limit_ns)
		admitted = bucket_charge(&b->tat_ns, cost, total_ns, p->now);
	if (admitted) {
		rwnd_mark(&p->flow, queue, queue_ns, backlogged_ns);
		fair_charge(&p->flow, queue, queue_ns, cost.charge_ns);
	}
	lock_release(&q->lock);
	return admitted;
}

/* Charges a frame that fits to the speed, or returns false. */
static __always_inline bool limiter_admit(const struct packet *p, const struct speed *s, struct bucket_cost cost)
{
	struct bucket *b = &p->account->bucket[p->dir];

	if (p->flow.fair)
		return limiter_admit_flow(p, b, s, cost);
	return bucket_admit(b, s, cost, s->burst_ns, p->now);
}
