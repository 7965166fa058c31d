// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultBPFFS is the folder of the pins when Options names none.
const DefaultBPFFS = "/sys/fs/bpf/hotspot-agent"

// maxClientsBound keeps the tables' sizes far from overflowing their 32 bits.
const maxClientsBound = 1_000_000

// Options say what to enforce where. The zero value is not usable: at least
// Interfaces and MaxClients are needed.
type Options struct {
	BPFFS          string         // absolute folder for the pins; default DefaultBPFFS. A bpffs is mounted when it is on none
	Interfaces     []string       // client-facing: bridges, bridge ports or plain Ethernet interfaces
	MaxClients     uint32         // how many rules the kernel holds, 1 to 1,000,000
	Portals        []Portal       // services open before paying
	WalledGarden   []netip.Prefix // networks open before paying, IPv4 and IPv6
	Limiter        Limiter        // how speeds are held; default Fair
	TCPWindowClamp bool           // with Fair, receive windows of TCP flows are clamped to their share
	Uplink         Uplink         // what all clients share; default no total
	Attach         AttachMode     // how programs are attached; default Auto
	Bind           bool           // Rule.Bound is enforced
	AdoptOnly      bool           // maps of another version are left as they are: Open fails with ErrOtherVersion
	NetNS          string         // path of the network namespace to work in; default: the process's own
	Log            *slog.Logger   // default: silent
}

// Portal is one service that every device may reach before it pays.
type Portal struct {
	Addr     netip.Addr // the zero Addr stands for the router's own addresses
	Port     uint16
	Protocol string // "tcp" or "udp"
}

// normalized returns o with its defaults, or an error that names field and value.
func (o Options) normalized() (Options, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.BPFFS, err = normalizedBPFFS(o.BPFFS); err != nil {
		return o, err
	}
	if o.MaxClients == 0 || o.MaxClients > maxClientsBound {
		return o, fmt.Errorf("max_clients %d: want 1 to %d", o.MaxClients, maxClientsBound)
	}
	if o.Limiter == "" {
		o.Limiter = Fair
	}
	if err := o.Limiter.check(); err != nil {
		return o, err
	}
	switch o.Attach {
	case "":
		o.Attach = Auto
	case Auto, TCX, Clsact:
	default:
		return o, fmt.Errorf("attach %q: want %s, %s or %s", o.Attach, Auto, TCX, Clsact)
	}
	if _, err := o.Uplink.speeds(); err != nil {
		return o, err
	}
	if err := checkInterfaces(o.Interfaces); err != nil {
		return o, err
	}
	for _, p := range o.Portals {
		if err := p.check(); err != nil {
			return o, err
		}
	}
	for _, p := range o.WalledGarden {
		if !p.IsValid() {
			return o, fmt.Errorf("walled_garden: %q is not a network", p)
		}
	}
	return o, nil
}

func normalizedBPFFS(dir string) (string, error) {
	if dir == "" {
		return DefaultBPFFS, nil
	}
	if !filepath.IsAbs(dir) {
		return dir, fmt.Errorf("bpffs %q: want an absolute path, like %s", dir, DefaultBPFFS)
	}
	return filepath.Clean(dir), nil
}

func checkInterfaces(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("interfaces: none named; name the client-facing one, like br-lan")
	}
	seen := make(map[string]bool)
	for _, name := range names {
		switch {
		case name == "" || len(name) >= unix.IFNAMSIZ || strings.ContainsAny(name, "/: \t\n"):
			return fmt.Errorf("interfaces: %q is not an interface name", name)
		case seen[name]:
			return fmt.Errorf("interfaces: %q is named twice", name)
		}
		seen[name] = true
	}
	return nil
}

func (p Portal) check() error {
	if p.Port == 0 {
		return fmt.Errorf("portal port %d: want 1 to 65535", p.Port)
	}
	if _, err := p.protocolNumber(); err != nil {
		return err
	}
	return nil
}

func (p Portal) protocolNumber() (uint8, error) {
	switch p.Protocol {
	case "tcp":
		return unix.IPPROTO_TCP, nil
	case "udp":
		return unix.IPPROTO_UDP, nil
	}
	return 0, fmt.Errorf("portal protocol %q: want tcp or udp", p.Protocol)
}
