// SPDX-License-Identifier: Apache-2.0

// Package linux enforces the rules of pkg/dataplane in the Linux kernel: it loads,
// pins, attaches and watches the TC programs of bpf/, writes their rules, and reads
// their counters and events. It is the one door to eBPF and netlink. It knows devices
// by MAC and accounts by number, and nothing of sessions, stores or sockets.
package linux
