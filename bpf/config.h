/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Load-time constants. Go sets them before loading; the verifier then removes the
 * code behind those that are 0. */
#pragma once

#include <linux/types.h>

/* The programs are on a bridge port: only frames to or from the router's own MAC leave
 * the link, all others are bridged and pass. */
volatile const __u8 config_bridge_port = 0;

/* Clients are bound to the IPv4 address that they were connected with. */
volatile const __u8 config_bind = 0;

/* The limiter is fair: an account's flows share its speed evenly. */
volatile const __u8 config_fair = 0;

/* Random for each load: flows that share a queue cannot be constructed. */
volatile const __u64 config_fair_seed = 0;

/* With config_fair: the receive windows of TCP flows are clamped, see rwnd.h. */
volatile const __u8 config_tcp_window_clamp = 0;

/* All clients share a total speed, see uplink.h. */
volatile const __u8 config_uplink = 0;
