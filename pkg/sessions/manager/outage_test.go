// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// counter is a provider that counts what it is asked, and may lose answers.
type counter struct {
	*shop
	asked    atomic.Int64
	probed   atomic.Int64
	losing   atomic.Bool // it takes a Save, and its answer is lost
	refusing atomic.Bool // it lists no sessions
	token    string      // of every session, unless it is empty
}

func (c *counter) GetSession(ctx context.Context, d sessions.Device) (sessions.ProvidedSession, bool, error) {
	c.asked.Add(1)
	p, ok, err := c.shop.GetSession(ctx, d)
	if c.token != "" {
		p.Token = c.token
	}
	return p, ok, err
}

func (c *counter) FetchSessions(ctx context.Context, _ sessions.Device, _, _ int) (sessions.ProvidedPage, error) {
	c.probed.Add(1)
	if c.refusing.Load() {
		return sessions.ProvidedPage{}, sessions.Errorf(sessions.Internal, "there is no such call")
	}
	return sessions.ProvidedPage{}, c.hang(ctx)
}

func (c *counter) Save(ctx context.Context, token string, data sessions.SessionData) error {
	err := c.shop.Save(ctx, token, data)
	if c.losing.Load() {
		return sessions.Errorf(sessions.Unavailable, "the connection broke")
	}
	return err
}

// counterWorld is a world with one provider, called shop, and its log.
func counterWorld(t *testing.T, c *counter) (*world, *safeLog) {
	t.Helper()
	log := new(safeLog)
	w := newWorld(t, manager.Config{
		ProviderTimeout: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil)),
		Dial: func(sessions.ProviderRecord) sessions.Provider { return c },
	})
	w.ok(w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "shop", Socket: "/run/shop"}))
	t.Cleanup(func() {
		if err := w.Stop(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return w, log
}

type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *safeLog) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

func (w *world) outages() []sessions.Outage {
	w.Helper()
	sum, err := w.Summary(w.ctx)
	w.ok(err)
	return sum.Outages
}

// Only the first one waits for a provider that hangs; when it answers again it is
// asked again. Both are said once.
func TestHangingProviderIsLeftAlone(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000))}
	w, log := counterWorld(t, cafe)
	cafe.set(func(s *shop) { s.hanging = true })
	for n := range 10 {
		d := w.phone(n + 1)
		w.buyTime(d, time.Hour)
		w.connect(d)
	}
	if n := cafe.asked.Load(); n != 1 {
		t.Errorf("%d devices waited for it, want only the first", n)
	}
	if down := w.outages(); len(down) != 1 || down[0].Provider != "shop" || !down[0].Since.Equal(w.clock.Now()) || down[0].Cause == nil {
		t.Errorf("outages: %+v", down)
	}
	sessionstest.WaitFor(t, "a probe", func() bool { return cafe.probed.Load() > 0 })
	cafe.set(func(s *shop) { s.hanging = false })
	sessionstest.WaitFor(t, "the end of the outage", func() bool { return len(w.outages()) == 0 })
	last := w.phone(99)
	w.connect(last)
	if s, err := w.Current(w.ctx, last.ID); err != nil || s.Provider != "shop" {
		t.Errorf("after the outage runs %+v, %v", s, err)
	}
	for _, line := range []string{"session provider failed", "works again"} {
		if n := log.count(line); n != 1 {
			t.Errorf("%q is in the log %d times, want once:\n%s", line, n, log.text.String())
		}
	}
}

// A provider that refuses at once delays no caller: it is asked each time, so that it
// is there as soon as it works.
func TestDeadProviderIsAskedAgain(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000))}
	w, log := counterWorld(t, cafe)
	cafe.set(func(s *shop) { s.failing = errBroken })
	a, b := w.phone(1), w.phone(2)
	for _, d := range []sessions.Device{a, b} {
		_, err := w.Connect(w.ctx, d.ID, "")
		w.code(err, sessions.NoSession)
	}
	if len(w.outages()) != 1 || log.count("session provider failed") != 1 {
		t.Errorf("outages: %+v, log:\n%s", w.outages(), log.text.String())
	}
	cafe.set(func(s *shop) { s.failing = nil })
	w.connect(a)
	if down := w.outages(); len(down) != 0 {
		t.Errorf("outages: %+v", down)
	}
}

// A provider that cannot list its sessions is found again by its refusal.
func TestRefusedProbe(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000))}
	w, _ := counterWorld(t, cafe)
	d := w.phone(1)
	cafe.set(func(s *shop) { s.hanging = true })
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
	cafe.refusing.Store(true)
	cafe.set(func(s *shop) { s.hanging = false })
	sessionstest.WaitFor(t, "the session of the provider", func() bool {
		status, err := w.Connect(w.ctx, d.ID, "")
		return err == nil && status.Connected
	})
}

// A caller that gives up waiting says nothing about the provider.
func TestGivingUpIsNoOutage(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000))}
	w, _ := counterWorld(t, cafe)
	w.cfg.ProviderTimeout = time.Hour
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	cafe.set(func(s *shop) { s.hanging = true })
	d := w.phone(1)
	ctx, cancel := context.WithCancel(w.ctx)
	go func() {
		sessionstest.WaitFor(t, "the call", func() bool { return cafe.asked.Load() > 0 })
		cancel()
	}()
	if _, err := w.Connect(ctx, d.ID, ""); err == nil {
		t.Error("connected")
	}
	if down := w.outages(); len(down) != 0 {
		t.Errorf("outages: %+v", down)
	}
}

// A save whose answer is lost is sent again; figures are absolute, so that the
// provider's own account is exact.
func TestLostAnswerOfASave(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000))}
	w, _ := counterWorld(t, cafe)
	d := w.phone(1)
	w.connect(d)
	cafe.losing.Store(true)
	w.kernel.Download(d.MAC, 1000)
	w.checkpoint()
	sessionstest.WaitFor(t, "the provider to know", func() bool { return cafe.lastSave().Used == 1000 })
	w.kernel.Download(d.MAC, 500)
	w.ok(w.Stop(w.ctx, false)) // with the answer still missing
	cafe.losing.Store(false)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.kernel.Download(d.MAC, 250)
	w.disconnect(d)
	sessionstest.WaitFor(t, "the row to be saved", func() bool { return !w.stored(1).Unsaved })
	cafe.set(func(s *shop) {
		if s.data.Used != 1750 {
			t.Errorf("the provider's account says %d bytes, 1750 were used", s.data.Used)
		}
	})
}

// One session of a provider runs on one device.
func TestOneSessionForTwoDevices(t *testing.T) {
	cafe := &counter{shop: newShop(voucher(10_000)), token: "one"}
	cafe.tokens["one"] = true
	w, log := counterWorld(t, cafe)
	a, b := w.phone(1), w.phone(2)
	w.connect(a)
	_, err := w.Connect(w.ctx, b.ID, "")
	w.code(err, sessions.NoSession)
	if log.count("that device 1 runs") != 1 {
		t.Errorf("the log does not say why:\n%s", log.text.String())
	}
	w.disconnect(a)
	w.connect(b) // it moved
}

func TestLiesOfAProvider(t *testing.T) {
	for name, lie := range map[string]sessions.SessionData{
		"negative time":          {Type: sessions.Time, Time: -time.Hour},
		"negative use":           {Type: sessions.Time, Time: time.Hour, TimeUsed: -time.Hour},
		"an absurd amount":       {Type: sessions.Data, Bytes: 1 << 63},
		"an absurd use":          {Type: sessions.Data, Bytes: 1, Used: 1 << 63},
		"used more than sold":    {Type: sessions.Data, Bytes: 1000, Used: 1001},
		"more time than sold":    {Type: sessions.Time, Time: time.Hour, TimeUsed: 2 * time.Hour},
		"nothing sold":           {Type: sessions.Data},
		"no such type":           {Type: 9, Time: time.Hour, Bytes: 1},
		"a speed of 1 bit/s":     {Type: sessions.Data, Bytes: 1000, DownBPS: 1},
		"sold in the year 9999":  {Type: sessions.Data, Bytes: 1000, Created: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"started before Unix":    {Type: sessions.Data, Bytes: 1000, Started: time.Date(1200, 1, 1, 0, 0, 0, 0, time.UTC)},
		"no days before its end": {Type: sessions.Data, Bytes: 1000, ExpDays: ptr(uint(0))},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := counterWorld(t, &counter{shop: newShop(&lie)})
			d := w.phone(1)
			_, err := w.Connect(w.ctx, d.ID, "")
			w.code(err, sessions.NoSession)
			w.passes(d, false)
			local := w.buyTime(d, time.Hour)
			w.connect(d)
			w.state(local.ID, sessions.Running)
			if list, err := w.Sessions(w.ctx, sessions.SessionFilter{}); err != nil || len(list) != 1 {
				t.Errorf("sessions: %+v, %v", list, err)
			}
		})
	}
	w, _ := counterWorld(t, &counter{shop: newShop(voucher(1000)), token: strings.Repeat("x", 1025)})
	_, err := w.Connect(w.ctx, w.phone(1).ID, "")
	w.code(err, sessions.NoSession)
}
