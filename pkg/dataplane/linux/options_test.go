// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

func TestBadOptions(t *testing.T) {
	good := Options{Interfaces: []string{"br-lan"}, MaxClients: 1}
	tests := map[string]struct {
		change func(*Options)
		names  string
	}{
		"no interface":     {func(o *Options) { o.Interfaces = nil }, "interfaces"},
		"bad interface":    {func(o *Options) { o.Interfaces = []string{"a name too long for it"} }, `"a name too long for it"`},
		"twice":            {func(o *Options) { o.Interfaces = []string{"lan", "lan"} }, `"lan"`},
		"no clients":       {func(o *Options) { o.MaxClients = 0 }, "max_clients 0"},
		"too many clients": {func(o *Options) { o.MaxClients = 2_000_000 }, "max_clients 2000000"},
		"relative bpffs":   {func(o *Options) { o.BPFFS = "pins" }, `bpffs "pins"`},
		"portal port":      {func(o *Options) { o.Portals = []dataplane.Portal{{Protocol: "tcp"}} }, "portal port 0"},
		"portal protocol":  {func(o *Options) { o.Portals = []dataplane.Portal{{Port: 1, Protocol: "icmp"}} }, `protocol "icmp"`},
		"slow uplink":      {func(o *Options) { o.Uplink.UpBPS = 999 }, "uplink.up_mbps 999"},
		"fast uplink":      {func(o *Options) { o.Uplink.DownBPS = dataplane.MaxBPS + 1 }, "uplink.down_mbps 100000000001"},
		"walled garden":    {func(o *Options) { o.Garden.Entries = []dataplane.GardenEntry{{}} }, "walled_garden"},
	}
	for name, test := range tests {
		opts := good
		test.change(&opts)
		if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: Open: %v, want an error with %q", name, err, test.names)
		}
	}
	if o, err := good.Normalized(); err != nil || o.BPFFS != DefaultBPFFS || o.Log == nil {
		t.Errorf("defaults: %+v, %v", o, err)
	}
}

func TestKernelAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"5.15.0": true, "5.15.0-91-generic": true, "6.1": true, "10.0": true, "unknown": true,
		"5.14.21": false, "4.19.0-26-amd64": false,
	} {
		if got := kernel.AtLeast(release, kernel.MinMajor, kernel.MinMinor); got != want {
			t.Errorf("kernelAtLeast(%q) = %v", release, got)
		}
	}
}

func TestPinNames(t *testing.T) {
	for _, name := range []string{"br-lan", "eth0.10", "a-b.c", "wlan0-ingress"} {
		pin := pins.PinName(name)
		if strings.Contains(pin, ".") || pins.IfName(pin) != name {
			t.Errorf("%q is pinned as %q", name, pin)
		}
	}
}
