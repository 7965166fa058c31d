/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loads and stores that the compiler neither repeats nor merges: Linux' rwonce.h.
 * barrier_var() is libbpf's. */
#pragma once

#include <bpf/bpf_helpers.h>

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
