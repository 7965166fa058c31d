/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts of all frames, by direction and reason. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

/* The value is per CPU, and a run stays on its CPU to its end: no lock. */
static __always_inline void stats_count(enum direction dir, enum reason reason, const struct frame *f)
{
	__u32 key = dir * REASONS + reason;
	struct stat *s = bpf_map_lookup_elem(&stats, &key);

	if (!s)
		return;
	s->packets++;
	s->bytes += f->wire;
}
