// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// kioskWithAll has a session in each state.
func kioskWithAll(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, manager.Config{})
	sell := func(d sessions.Device, spec sessions.SessionSpec) sessions.Session {
		spec.Device = d.ID
		return w.buy(spec)
	}
	spent := w.phone(1)
	sell(spent, sessions.SessionSpec{Type: sessions.Time, Time: time.Minute})
	w.connect(spent)
	w.clock.Advance(2 * time.Minute)
	w.drain()
	running := w.phone(2)
	sell(running, sessions.SessionSpec{Type: sessions.TimeOrData, Time: time.Hour, Bytes: 1 << 20, ExpDays: ptr(uint(3)), DownBPS: 5e6, UpBPS: 1e6})
	w.connect(running)
	w.kernel.Download(running.MAC, 1000)
	w.clock.Advance(time.Minute)
	paused := w.phone(3)
	sell(paused, sessions.SessionSpec{Type: sessions.Time, Time: time.Hour, UseGlobalSpeed: true})
	w.connect(paused)
	w.clock.Advance(time.Minute)
	w.disconnect(paused)
	sell(paused, sessions.SessionSpec{Type: sessions.Data, Bytes: 1 << 20})
	return w
}

func (w *world) export(all bool) []sessions.Portable {
	w.Helper()
	var list []sessions.Portable
	w.ok(w.Export(w.ctx, all, func(p sessions.Portable) error {
		list = append(list, p)
		return nil
	}))
	return list
}

// What was sold here is the same there, but that nothing runs. The kind of fault: what a
// purchase is worth by, its claim code too, has to travel with it. A new field of Portable
// or Session that does not is a difference here.
func TestExportAndImport(t *testing.T) {
	from := kioskWithAll(t)
	if got := len(from.export(false)); got != 3 {
		t.Errorf("%d sessions have something left, want 3", got)
	}
	all := from.export(true)
	to := newWorld(t, manager.Config{})
	to.clock.Advance(time.Hour)
	to.buyTime(to.phone(9), time.Hour) // ids there are others
	for round, want := range []sessions.Imported{{Imported: 4}, {Known: 4}} {
		if done, err := to.Import(to.ctx, all); err != nil || done != want {
			t.Fatalf("import %d: %+v, %v, want %+v", round+1, done, err, want)
		}
	}
	got := to.export(true)[1:]
	same := cmpopts.IgnoreFields(sessions.Session{}, "ID", "Tag", "Device", "Meter", "Ended")
	if diff := cmp.Diff(all, got, same); diff != "" {
		t.Errorf("sold (-) and imported (+):\n%s", diff)
	}
	for _, p := range all {
		if p.Claim == nil {
			t.Errorf("the purchase of %s is exported without its code", p.MAC)
		}
	}
	d, err := to.FindDevice(to.ctx, mac(2).String())
	to.ok(err)
	to.connect(d)
	to.passes(d, true)
}

// One bad line, and nothing is stored.
func TestImportRefuses(t *testing.T) {
	good := kioskWithAll(t).export(true)
	for name, c := range map[string]struct {
		spoil func(p *sessions.Portable)
		field string
	}{
		"no MAC":       {func(p *sessions.Portable) { p.MAC = mac(0); p.MAC[0] = 1 }, "mac"},
		"no allowance": {func(p *sessions.Portable) { p.Session.Time, p.Session.Bytes = 0, 0 }, ""},
		"never sold":   {func(p *sessions.Portable) { p.Session.Created = time.Time{} }, "created_at"},
		"far future":   {func(p *sessions.Portable) { p.Session.Started = time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC) }, "started_at"},
		"a speed":      {func(p *sessions.Portable) { p.Session.DownBPS = 7 }, "down_bps"},
		"too much":     {func(p *sessions.Portable) { p.Session.Used = 1 << 62 }, "data_used_bytes"},
	} {
		bad := slices.Clone(good)
		c.spoil(&bad[2])
		bad[2].Line = 3
		w := newWorld(t, manager.Config{})
		_, err := w.Import(w.ctx, bad)
		w.code(err, sessions.Invalid)
		if !strings.HasPrefix(err.Error(), "line 3: "+c.field) {
			t.Errorf("%s: %v", name, err)
		}
		if got := w.export(true); len(got) != 0 {
			t.Errorf("%s: %d sessions were stored", name, len(got))
		}
	}
}

// The code on a receipt works in another database as it did in the first, and only there
// where it was not revoked.
func TestExportedCodeIsClaimed(t *testing.T) {
	from, to := newWorld(t, manager.Config{}), newWorld(t, manager.Config{})
	spec := sessions.SessionSpec{Device: from.phone(1).ID, Type: sessions.Time, Time: time.Hour}
	kept, err := from.CreateSession(from.ctx, spec)
	from.ok(err)
	revoked, err := from.CreateSession(from.ctx, spec)
	from.ok(err)
	from.ok(from.RevokeClaim(from.ctx, revoked.ID))
	list := from.export(false)
	if _, err := to.Import(to.ctx, list); err != nil {
		t.Fatal(err)
	}
	phone := to.phone(2)
	onto := func() (sessions.DeviceID, error) { return phone.ID, nil }
	s, err := to.Claim(to.ctx, kept.Claim, onto)
	to.ok(err)
	if s.Device != phone.ID || s.Created != kept.Created {
		t.Errorf("the code brought %+v", s)
	}
	_, err = to.Claim(to.ctx, revoked.Claim, onto)
	to.code(err, sessions.NotFound)
}

// Two purchases with one code: which one it brings would be chance.
func TestImportRefusesTheCodeOfAnother(t *testing.T) {
	w := newWorld(t, manager.Config{})
	sold, err := w.CreateSession(w.ctx, sessions.SessionSpec{Device: w.phone(1).ID, Type: sessions.Time, Time: time.Hour})
	w.ok(err)
	list := w.export(false)
	list[0].Session.Created = list[0].Session.Created.Add(time.Second) // another purchase
	list[0].Line = 7
	_, err = w.Import(w.ctx, list)
	w.code(err, sessions.Conflict)
	if !strings.HasPrefix(err.Error(), "line 7: claim_hash: ") || len(w.export(true)) != 1 {
		t.Errorf("%v, and there are %d sessions", err, len(w.export(true)))
	}
	_, err = w.Claim(w.ctx, sold.Claim, func() (sessions.DeviceID, error) { return w.phone(2).ID, nil })
	w.ok(err)
}
