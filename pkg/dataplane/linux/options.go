// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// DefaultBPFFS is the folder of the pins when Options names none.
const DefaultBPFFS = "/sys/fs/bpf/hotspot-agent"

// Options say what to enforce where. The zero value is not usable: at least
// Interfaces and MaxClients are needed.
type Options struct {
	BPFFS          string               // absolute folder for the pins; default DefaultBPFFS. A bpffs is mounted when it is on none
	Interfaces     []string             // client-facing: bridges, bridge ports or plain Ethernet interfaces
	MaxClients     uint32               // how many rules the kernel holds, 1 to 1,000,000
	Portals        []dataplane.Portal   // services open before paying
	Garden         dataplane.Garden     // what else is open before paying
	Captive        dataplane.Captive    // what devices that may not pass are answered; default nothing
	Limiter        dataplane.Limiter    // how speeds are held; default Fair
	TCPWindowClamp bool                 // with Fair, receive windows of TCP flows are clamped to their share
	Uplink         dataplane.Uplink     // what all clients share; default no total
	Attach         dataplane.AttachMode // how programs are attached; default Auto
	Bind           bool                 // Rule.Bound is enforced
	AdoptOnly      bool                 // maps of another version are left as they are: Open fails with ErrOtherVersion
	NetNS          string               // path of the network namespace to work in; default: the process's own
	Log            *slog.Logger         // default: silent
	// Answered receives the devices that are answered because they may not pass; what finds no
	// room in it is lost. Default: none are received.
	Answered chan<- dataplane.Event
	// Checked receives after each check, once a second, and when one found something else than
	// the one before: what Problems returns may have changed. Default: nothing is received.
	Checked chan<- struct{}

	snapshot func(*links.Snapshot, *netlink.Handle, links.Changes) (*links.Snapshot, error) // default Snapshot.Refresh; tests replace it
}

// Normalized returns o with its defaults, or an error that names field and value.
func (o Options) Normalized() (Options, error) {
	if o.snapshot == nil {
		o.snapshot = (*links.Snapshot).Refresh
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.BPFFS, err = normalizedBPFFS(o.BPFFS); err != nil {
		return o, err
	}
	if o.MaxClients == 0 || o.MaxClients > dataplane.MaxClients {
		return o, fmt.Errorf("max_clients %d: want 1 to %d", o.MaxClients, dataplane.MaxClients)
	}
	if o.Limiter == "" {
		o.Limiter = dataplane.Fair
	}
	if o.Limiter != dataplane.Bucket && o.Limiter != dataplane.Fair {
		return o, fmt.Errorf("limiter %q: want %s or %s", o.Limiter, dataplane.Fair, dataplane.Bucket)
	}
	switch o.Attach {
	case "":
		o.Attach = dataplane.Auto
	case dataplane.Auto, dataplane.TCX, dataplane.Clsact:
	default:
		return o, fmt.Errorf("attach %q: want %s, %s or %s", o.Attach, dataplane.Auto, dataplane.TCX, dataplane.Clsact)
	}
	if _, err := bpf.UplinkSpeeds(o.Uplink); err != nil {
		return o, err
	}
	if err := checkInterfaces(o.Interfaces); err != nil {
		return o, err
	}
	for _, p := range o.Portals {
		if err := p.Check(); err != nil {
			return o, err
		}
	}
	if err := o.Captive.Check(); err != nil {
		return o, err
	}
	if err := o.Garden.Check(); err != nil {
		return o, err
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
		if err := dataplane.CheckInterfaceName(name); err != nil {
			return fmt.Errorf("interfaces: %w", err)
		}
		if seen[name] {
			return fmt.Errorf("interfaces: %q is named twice", name)
		}
		seen[name] = true
	}
	return nil
}

// ProgramConfig is what the programs are loaded with, for the packages below this one.
func (o Options) ProgramConfig() bpf.ProgramConfig {
	return bpf.ProgramConfig{Limiter: o.Limiter, Clamp: o.TCPWindowClamp && o.Limiter == dataplane.Fair, Uplink: o.Uplink != dataplane.Uplink{}, Bind: o.Bind}
}
