// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

func TestCreateDeviceIsIdempotent(t *testing.T) {
	w := newWorld(t, manager.Config{})
	mark := w.mark()
	first, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: "02-00-5E-10-00-01", IP: "10.0.0.7"})
	w.ok(err)
	again, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: "0200.5e10.0001", IP: "10.0.0.8", Hostname: "phone"})
	w.ok(err)
	if again.ID != first.ID || again.Hostname != "phone" || again.IPs[0].String() != "10.0.0.8" || len(again.IPs) != 2 {
		t.Errorf("created %+v, then %+v", first, again)
	}
	_, err = w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: "02005e100001"})
	w.ok(err)
	w.happened(mark, "device.created", "device.updated")
}

func TestFindDevice(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: "02:00:5e:10:00:01", IP: "10.0.0.7"})
	w.ok(err)
	for _, ref := range []string{"1", "02:00:5E:10:00:01", "02-00-5e-10-00-01", "02005e100001"} {
		got, err := w.FindDevice(w.ctx, ref)
		if err != nil || got.ID != d.ID {
			t.Errorf("FindDevice(%q) = %+v, %v", ref, got, err)
		}
	}
	for ref, code := range map[string]sessions.Code{
		"2": sessions.NotFound, "02:00:5e:10:00:02": sessions.NotFound,
		"": sessions.Invalid, "01:00:5e:00:00:01": sessions.Invalid, "ff:ff:ff:ff:ff:ff": sessions.Invalid, "phone": sessions.Invalid, "-1": sessions.Invalid, "0": sessions.Invalid,
		"10.0.0.7": sessions.Invalid, // whose it is now only the kernel knows
	} {
		if _, err := w.FindDevice(w.ctx, ref); sessions.CodeOf(err) != code || err == nil {
			t.Errorf("FindDevice(%q): %v, want %s", ref, err, code)
		}
	}
}

func TestAnAddressBelongsToOneDevice(t *testing.T) {
	w := newWorld(t, manager.Config{})
	ip := netip.MustParseAddr("10.0.0.7")
	_, err := w.Observe(w.ctx, mac(1), ip, "")
	w.ok(err)
	second, err := w.Observe(w.ctx, mac(2), ip, "")
	w.ok(err)
	got, err := w.LastWithAddress(w.ctx, ip)
	w.ok(err)
	if got.ID != second.ID {
		t.Errorf("the address is device %d's, want the last one seen with it, %d", got.ID, second.ID)
	}
}

func TestConflict(t *testing.T) {
	w := newWorld(t, manager.Config{})
	see := func(ip string) {
		t.Helper()
		_, err := w.Observe(w.ctx, mac(1), netip.MustParseAddr(ip), "a\x00b")
		w.ok(err)
	}
	see("10.0.0.7")
	see("10.0.0.8") // a new lease
	d, err := w.LastWithAddress(w.ctx, netip.MustParseAddr("10.0.0.8"))
	w.ok(err)
	if d.Hostname != "" {
		t.Errorf("took the hostname %q", d.Hostname)
	}
	w.buyTime(d, time.Hour)
	w.connect(d)
	mark := w.mark()
	see("2001:db8::7")
	see("10.0.0.8")
	see("10.0.0.9")
	see("10.0.0.9")
	w.happened(mark, "device.updated", "device.updated", "client.conflict(moved)", "device.updated")
}

func TestMoveToAnotherMACWhileConnected(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(mac(1), 1000)
	mark := w.mark()
	moved, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr("02:00:5e:10:00:09")})
	w.ok(err)
	if moved.MAC != mac(9) {
		t.Errorf("moved to %s", moved.MAC)
	}
	w.happened(mark, "device.updated")
	if w.kernel.Download(mac(1), 100) {
		t.Error("the old MAC is still let through")
	}
	passed := w.kernel.Fill(mac(9))
	w.drain()
	if got := w.state(s.ID, sessions.Consumed); got.Used != 1000+passed {
		t.Errorf("%d bytes used, %d passed", got.Used, 1000+passed)
	}
}

func TestMoveIsRefused(t *testing.T) {
	w := newWorld(t, manager.Config{Blocked: []dataplane.MAC{mac(8)}})
	d, other := w.phone(1), w.phone(2)
	w.buyTime(d, time.Hour)
	w.buyTime(other, time.Hour)
	w.connect(d)
	mark := w.mark()
	_, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(other.MAC.String())})
	w.code(err, sessions.Conflict)
	for _, named := range []string{"device 1 (" + d.MAC.String() + ")", other.MAC.String() + ", which is device 2", "(2)"} {
		if !strings.Contains(err.Error(), named) {
			t.Errorf("%q does not name %s", err, named)
		}
	}
	_, err = w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(8).String())})
	w.code(err, sessions.Forbidden)
	w.happened(mark)
	w.kernel.SetMax(2) // the blocked one and this one
	_, err = w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(9).String())})
	w.code(err, sessions.Full)
	w.passes(d, true)
	if got, _ := w.Device(w.ctx, d.ID); got.MAC != mac(1) {
		t.Errorf("after the refusal the device has %s", got.MAC)
	}
}

func TestMoveToATrustedMACPauses(t *testing.T) {
	w := newWorld(t, manager.Config{Trusted: []dataplane.MAC{mac(8)}})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	_, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(8).String())})
	w.ok(err)
	w.state(s.ID, sessions.Paused)
	w.passes(d, true)
	if w.kernel.Download(mac(1), 100) {
		t.Error("the old MAC is still let through")
	}
}

func TestRefusedInput(t *testing.T) {
	router := mac(0xfe)
	w := newWorld(t, manager.Config{RouterMACs: func() []dataplane.MAC { return []dataplane.MAC{router} }})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	before, mark := w.session(s.ID), w.mark()
	device := func(spec sessions.DeviceSpec) func() error {
		return func() error { _, err := w.CreateDevice(w.ctx, spec); return err }
	}
	move := func(patch sessions.DevicePatch) func() error {
		return func() error { _, err := w.UpdateDevice(w.ctx, d.ID, patch); return err }
	}
	purchase := func(edit func(*sessions.SessionSpec)) func() error {
		spec := sessions.SessionSpec{Device: d.ID, Type: sessions.TimeOrData, Time: time.Hour, Bytes: 1000}
		edit(&spec)
		return func() error { _, err := w.CreateSession(w.ctx, spec); return err }
	}
	patch := func(p sessions.SessionPatch) func() error {
		return func() error { _, err := w.UpdateSession(w.ctx, s.ID, p); return err }
	}
	type spec = sessions.SessionSpec
	cases := []struct {
		field string
		do    func() error
	}{
		{"mac", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00"})},
		{"mac", device(sessions.DeviceSpec{MAC: ""})},
		{"mac", device(sessions.DeviceSpec{MAC: "ff:ff:ff:ff:ff:ff"})},
		{"mac", device(sessions.DeviceSpec{MAC: "01:00:5e:00:00:01"})},
		{"mac", device(sessions.DeviceSpec{MAC: "00:00:00:00:00:00"})},
		{"mac", device(sessions.DeviceSpec{MAC: router.String()})},
		{"ip", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00:05", IP: "10.0.0"})},
		{"ip", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00:05", IP: "224.0.0.1"})},
		{"ip", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00:05", IP: "0.0.0.0"})},
		{"hostname", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00:05", Hostname: strings.Repeat("x", 254)})},
		{"hostname", device(sessions.DeviceSpec{MAC: "02:00:5e:10:00:05", Hostname: "a\nb"})},
		{"mac", move(sessions.DevicePatch{MAC: ptr("nonsense")})},
		{"ip", move(sessions.DevicePatch{IP: ptr("")})},
		{"hostname", move(sessions.DevicePatch{Hostname: ptr("\xff")})},
		{"type", purchase(func(s *spec) { s.Type = 3 })},
		{"time_secs", purchase(func(s *spec) { s.Time = 0 })},
		{"time_secs", purchase(func(s *spec) { s.Time = -time.Second })},
		{"time_secs", purchase(func(s *spec) { s.Time = 1<<63 - 1 })},
		{"data_bytes", purchase(func(s *spec) { s.Bytes = 0 })},
		{"data_bytes", purchase(func(s *spec) { s.Bytes = 1<<64 - 1 })},
		{"exp_days", purchase(func(s *spec) { s.ExpDays = ptr(uint(0)) })},
		{"exp_days", purchase(func(s *spec) { s.ExpDays = ptr(uint(1 << 31)) })},
		{"down_bps", purchase(func(s *spec) { s.DownBPS = 999 })},
		{"up_bps", purchase(func(s *spec) { s.UpBPS = 100_000_000_001 })},
		{"time_secs", patch(sessions.SessionPatch{Time: ptr(-time.Second)})},
		{"time_secs", patch(sessions.SessionPatch{Time: ptr(time.Duration(0))})},
		{"time_used_secs", patch(sessions.SessionPatch{TimeUsed: ptr(-time.Second)})},
		{"add_time_secs", patch(sessions.SessionPatch{AddTime: ptr(time.Duration(0))})},
		{"add_time_secs", patch(sessions.SessionPatch{AddTime: ptr(time.Duration(1<<63 - 1))})},
		{"time_secs", patch(sessions.SessionPatch{AddTime: ptr(100 * 365 * 24 * time.Hour)})},
		{"add_data_bytes", patch(sessions.SessionPatch{AddBytes: ptr(uint64(1<<64 - 1))})},
		{"data_bytes", patch(sessions.SessionPatch{Type: ptr(sessions.Data)})},
		{"exp_days", patch(sessions.SessionPatch{ExpDays: ptr(ptr(uint(0)))})},
		{"name", func() error { return w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "local", Socket: "/x"}) }},
		{"name", func() error { return w.RegisterProvider(w.ctx, sessions.ProviderRecord{Socket: "/x"}) }},
		{"socket", func() error { return w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "shop"}) }},
	}
	for i, c := range cases {
		var e *sessions.Error
		if err := c.do(); !errors.As(err, &e) || e.Code != sessions.Invalid || e.Field != c.field {
			t.Errorf("case %d: got %v, want it to be invalid and to name %s", i, err, c.field)
		}
	}
	if after := w.session(s.ID); after != before {
		t.Errorf("a refused change left %+v", after)
	}
	w.happened(mark)
	if all, _ := w.Devices(w.ctx, sessions.DeviceFilter{}); len(all) != 1 {
		t.Errorf("%d devices are stored", len(all))
	}
}

func TestRefusedByTheKernel(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	broken := errors.New("broken")
	fail := func(op sessionstest.Op) {
		w.kernel.Intercept(func(c sessionstest.Call) error {
			if c.Op == op {
				return broken
			}
			return nil
		})
	}
	fail(sessionstest.Grant)
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.Unavailable)
	if !errors.Is(err, broken) {
		t.Errorf("%v does not carry its cause", err)
	}
	w.state(s.ID, sessions.Available)
	w.kernel.Intercept(nil)
	w.connect(d)
	fail(sessionstest.Revoke)
	_, err = w.Disconnect(w.ctx, d.ID, "")
	w.code(err, sessions.Unavailable)
	w.kernel.Intercept(nil)
	w.state(s.ID, sessions.Running)
	w.passes(d, true)
}

func TestRefusedByTheStore(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	full := errors.New("the disk is full")
	w.store.BeforeCommit(func() error { return full })
	if _, err := w.Connect(w.ctx, d.ID, ""); !errors.Is(err, full) {
		t.Errorf("Connect: %v", err)
	}
	w.passes(d, false)
	w.store.BeforeCommit(nil)
	w.connect(d)
	w.store.BeforeCommit(func() error { return full })
	if _, err := w.Disconnect(w.ctx, d.ID, ""); !errors.Is(err, full) {
		t.Errorf("Disconnect: %v", err)
	}
	w.passes(d, true)
	w.store.BeforeCommit(nil)
	w.state(s.ID, sessions.Running)
	if got := w.events(0); slices.Contains(got, "client.disconnected(request)") {
		t.Errorf("published %v", got)
	}
}
