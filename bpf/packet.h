/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame on its way to a verdict, with what was found out about it. */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>

#include "abi.h"
#include "parse.h"

/* The flow of a frame, and its queues. */
struct flow {
	struct fair *fair; /* NULL: the bucket alone decides */
	struct flows *all; /* NULL: no direction has queues */
	__u32 tag;         /* hash, the same in both directions */
	__u32 not_tcp;     /* 0: TCP. With a condition the verifier follows both all the way */
	bool small;
};

/* All is inlined, so that the fields are registers and not memory. */
struct packet {
	struct __sk_buff *skb;
	enum direction dir;
	const struct frame *frame;
	__u64 now; /* CLOCK_BOOTTIME */
	const struct rule *rule;
	struct account *account;
	struct flow flow;
};
