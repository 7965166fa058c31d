// SPDX-License-Identifier: Apache-2.0

// Package dataplane is the one door to the kernel: it loads, pins, attaches and
// watches the TC programs of bpf/, writes their rules, and reads their counters
// and events. It knows devices by MAC and accounts by number, and nothing of
// sessions, stores or sockets.
package dataplane
