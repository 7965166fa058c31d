/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Comparisons without a branch, for loops: the verifier would follow both sides of a
 * branch in each round.
 */
#pragma once

#include <linux/types.h>

#include "compiler.h"

/* 1 if a > b, else 0. The numbers are less than 2^63 apart. */
static __always_inline __u64 u64_gt(__u64 a, __u64 b)
{
	__u64 sign = b - a;

	barrier_var(sign); /* the compiler must not know that it is a difference, */
	sign >>= 63;
	barrier_var(sign); /* nor that it is one bit */
	return sign;
}

static __always_inline __u64 u64_min(__u64 a, __u64 b)
{
	return b + ((a - b) & -u64_gt(b, a));
}

/* An index below size, a power of two. It is masked by the instruction before its use:
 * verifiers before 5.16 forget the bounds of a word on the stack. */
static __always_inline __u64 u64_index(__u64 i, __u64 size)
{
	barrier_var(i);
	return i & (size - 1);
}
