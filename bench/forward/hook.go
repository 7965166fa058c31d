// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/hotspot-agent/hotspot-agent/internal/baseline"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// hookSubject is programs that do nothing, on the hooks that the agent uses: the cost of
// the hooks. They drop no packet.
var hookSubject = subject{name: "hook", open: true, foreign: true, enforce: func(_ context.Context, r *router) error {
	return r.hook(baseline.Empty(), baseline.Empty())
}}

// lookupSubject is programs that look up the customer and read the clock, and do nothing
// else: the least for any program that enforces time for each customer.
var lookupSubject = subject{name: "lookup", open: true, foreign: true, enforce: func(_ context.Context, r *router) error {
	customers, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: uint32(len(r.customers))})
	if err != nil {
		return fmt.Errorf("a map of customers: %w", err)
	}
	defer func() { _ = customers.Close() }()
	for i, m := range r.customers {
		var key [8]byte
		copy(key[:], m.MAC)
		if err := customers.Put(key, uint32(i)); err != nil {
			return fmt.Errorf("customer %s: %w", m.MAC, err)
		}
	}
	return r.hook(baseline.Lookup(customers, baseline.Sender), baseline.Lookup(customers, baseline.Receiver))
}}

// hook attaches programs where those of the agent are.
func (r *router) hook(ingress, egress *ebpf.ProgramSpec) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	return r.kiosk.Router.Do(func() error {
		bridge, err := net.InterfaceByName(lab.Bridge)
		if err != nil {
			return err
		}
		return errors.Join(r.attach(bridge, ingress, ebpf.AttachTCXIngress), r.attach(bridge, egress, ebpf.AttachTCXEgress))
	})
}

func (r *router) attach(to *net.Interface, spec *ebpf.ProgramSpec, hook ebpf.AttachType) error {
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", hook, err)
	}
	defer func() { _ = prog.Close() }()
	l, err := link.AttachTCX(link.TCXOptions{Interface: to.Index, Program: prog, Attach: hook})
	if err != nil {
		return fmt.Errorf("attach %s: %w", hook, err)
	}
	r.onClose(l.Close)
	return nil
}
