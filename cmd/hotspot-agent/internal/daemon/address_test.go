// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func TestResolveRegisters(t *testing.T) {
	s, plane, _ := newService(t)
	if _, err := s.Resolve(t.Context(), address, ""); sessions.CodeOf(err) != sessions.NotFound || !strings.Contains(err.Error(), "10.0.0.23") {
		t.Errorf("no neighbour: %v", err)
	}
	plane.err = errors.New("netlink broke")
	if _, err := s.Resolve(t.Context(), address, ""); sessions.CodeOf(err) != sessions.Internal {
		t.Errorf("a failing kernel: %v", err)
	}
	plane.err = fmt.Errorf("wlan7: %w", dataplane.ErrNoInterface)
	if _, err := s.Resolve(t.Context(), address, "wlan7"); sessions.CodeOf(err) != sessions.Invalid || !strings.Contains(err.Error(), "interface: wlan7") {
		t.Errorf("an interface without clients: %v", err)
	}
	plane.neighbors[address] = first
	for range 2 {
		d, err := s.Resolve(t.Context(), address, "")
		if err != nil || d.ID != 1 || d.MAC != first || len(d.IPs) != 1 || d.IPs[0] != address {
			t.Errorf("resolved %+v, %v", d, err)
		}
	}
}

// The kind of fault: memory answers where only the present counts. A former holder of an
// address must not be charged, connected or cut off for the present one, so that the
// database is no answer, not even where no device has the address now.
func TestFindDeviceByAddress(t *testing.T) {
	s, plane, _ := newService(t)
	for _, mac := range []dataplane.MAC{first, second} {
		if _, err := s.CreateDevice(t.Context(), sessions.DeviceSpec{MAC: mac.String()}); err != nil {
			t.Fatal(err)
		}
	}
	ip := address.String()
	if _, err := s.UpdateDevice(t.Context(), 1, sessions.DevicePatch{IP: &ip}); err != nil {
		t.Fatal(err)
	}
	_, err := s.FindDevice(t.Context(), ip)
	if sessions.CodeOf(err) != sessions.NotFound || !strings.Contains(err.Error(), "now") || !strings.Contains(err.Error(), "device 1 ("+first.String()+")") {
		t.Errorf("an address that is not seen: %v", err)
	}
	plane.neighbors[address] = second
	for _, ref := range []string{ip, "::ffff:10.0.0.23", ip + "%br-lan"} {
		if d, err := s.FindDevice(t.Context(), ref); err != nil || d.ID != 2 {
			t.Errorf("%s: %+v, %v", ref, d, err)
		}
	}
	plane.neighbors[address] = dataplane.MAC{2, 0, 0, 0, 0, 9}
	if d, err := s.FindDevice(t.Context(), ip); sessions.CodeOf(err) != sessions.NotFound || !strings.Contains(err.Error(), "02:00:00:00:00:09") {
		t.Errorf("the holder of today is unknown, found %+v, %v", d, err)
	}
	for _, ref := range []string{"1%br-lan", first.String() + "%br-lan"} {
		if _, err := s.FindDevice(t.Context(), ref); sessions.CodeOf(err) != sessions.Invalid || !strings.HasPrefix(err.Error(), "interface: ") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// Two devices with one address: neither is taken by chance.
func TestAddressOfTwoDevices(t *testing.T) {
	s, plane, _ := newService(t)
	plane.others = []dataplane.Holder{{MAC: first, Interface: "wlan0"}, {MAC: second, Interface: "wlan1"}}
	_, resolved := s.Resolve(t.Context(), address, "")
	_, found := s.FindDevice(t.Context(), address.String())
	for _, err := range []error{resolved, found} {
		if sessions.CodeOf(err) != sessions.Conflict {
			t.Fatalf("%v, want a conflict", err)
		}
		for _, named := range []string{first.String() + " on wlan0", second.String() + " on wlan1", "interface=wlan0"} {
			if !strings.Contains(err.Error(), named) {
				t.Errorf("%q does not name %q", err, named)
			}
		}
	}
	plane.others[1].MAC = first // one device that roamed
	if d, err := s.Resolve(t.Context(), address, ""); err != nil || d.MAC != first {
		t.Errorf("one device on two interfaces: %+v, %v", d, err)
	}
}
