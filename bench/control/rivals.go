// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// rival is how another system lets a customer in and out: commands that it starts one
// after the other. What it does besides, in its own process and database, is left out.
type rival struct {
	name    string
	setUp   []string // once, command lines
	letIn   []string // %d is the number of a customer
	keepOut []string
}

// uspotSets is uspot's way (and, with one more set, nodogsplash's successors'): an
// element in a set. It limits and counts nothing by itself.
var uspotSets = rival{
	name: "nft sets",
	setUp: []string{
		"nft add table inet uspot",
		"nft add set inet uspot paid { type ether_addr; }",
		"nft add set inet uspot paid4 { type ipv4_addr; }",
	},
	letIn: []string{
		"nft add element inet uspot paid { 02:dd:00:00:00:%02x }",
		"nft add element inet uspot paid4 { 10.9.0.%d }",
	},
	keepOut: []string{
		"nft delete element inet uspot paid { 02:dd:00:00:00:%02x }",
		"nft delete element inet uspot paid4 { 10.9.0.%d }",
	},
}

// flareWay is Flare's: three elements, and a class with its filter on the bridge and
// on an ifb. Its classes are of HFSC, these of HTB, which kernels always have.
var flareWay = rival{
	name: "flare",
	setUp: []string{
		"nft add table ip internet",
		"nft add map ip internet macs { type ether_addr : verdict; }",
		"nft add map ip internet ips { type ipv4_addr : verdict; }",
		"nft add set ip internet nat { type ether_addr; }",
		"ip link add ctl-ifb type ifb",
		"tc qdisc add dev ctl-ifb root handle 1: htb",
		"ip link add ctl-lan type bridge",
		"tc qdisc add dev ctl-lan root handle 1: htb",
	},
	letIn: []string{
		"nft add element ip internet macs { 02:dd:00:00:00:%02x : accept }",
		"nft add element ip internet ips { 10.9.0.%d : accept }",
		"nft add element ip internet nat { 02:dd:00:00:00:%02x }",
		"tc class add dev ctl-lan parent 1: classid 1:1%02x htb rate 5mbit",
		"tc filter add dev ctl-lan parent 1: prio %d protocol ip u32 match ip dst 10.9.0.1/32 flowid 1:1",
		"tc class add dev ctl-ifb parent 1: classid 1:1%02x htb rate 3mbit",
		"tc filter add dev ctl-ifb parent 1: prio %d protocol ip u32 match ip src 10.9.0.1/32 flowid 1:1",
	},
	keepOut: []string{
		"nft delete element ip internet macs { 02:dd:00:00:00:%02x : accept }",
		"nft delete element ip internet ips { 10.9.0.%d : accept }",
		"nft delete element ip internet nat { 02:dd:00:00:00:%02x }",
		"tc filter del dev ctl-lan parent 1: prio %d",
		"tc class del dev ctl-lan classid 1:1%02x",
		"tc filter del dev ctl-ifb parent 1: prio %d",
		"tc class del dev ctl-ifb classid 1:1%02x",
	},
}

// measure lets customers in and out on a router of its own.
func (v rival) measure(ctx context.Context, customers int) (in, out latencies, err error) {
	l, err := lab.New("ctl")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }()
	router, err := l.AddHost("router")
	if err != nil {
		return nil, nil, err
	}
	if err := start(ctx, router, v.setUp, 0); err != nil {
		return nil, nil, err
	}
	for n := range customers {
		if err := in.timed(func() error { return start(ctx, router, v.letIn, n+1) }); err != nil {
			return nil, nil, err
		}
	}
	for n := range customers {
		if err := out.timed(func() error { return start(ctx, router, v.keepOut, n+1) }); err != nil {
			return nil, nil, err
		}
	}
	return in, out, nil
}

// start runs command lines as a daemon inside the host does: without a shell.
func start(ctx context.Context, host *lab.Host, lines []string, customer int) error {
	return host.Do(func() error {
		for _, line := range lines {
			if strings.Contains(line, "%") {
				line = fmt.Sprintf(line, customer)
			}
			if err := run(ctx, strings.Fields(line)); err != nil {
				return err
			}
		}
		return nil
	})
}
