// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// shop is a provider's process: it sells one session, and gives a new token for it
// with every answer, as a process does whose sources are objects.
type shop struct {
	mu      sync.Mutex
	data    *sessions.SessionData // nil: nothing to consume
	tokens  map[string]bool
	issued  int
	asked   int
	saves   []sessions.SessionData
	failing error
	hanging bool // it takes calls and never answers
}

func newShop(data *sessions.SessionData) *shop {
	return &shop{data: data, tokens: make(map[string]bool)}
}

func (s *shop) hang(ctx context.Context) error {
	s.mu.Lock()
	hanging, failing := s.hanging, s.failing
	s.mu.Unlock()
	if hanging {
		<-ctx.Done()
		return ctx.Err()
	}
	return failing
}

func (s *shop) GetSession(ctx context.Context, _ sessions.Device) (sessions.ProvidedSession, bool, error) {
	if err := s.hang(ctx); err != nil {
		return sessions.ProvidedSession{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.data == nil {
		return sessions.ProvidedSession{}, false, nil
	}
	s.issued++
	token := strconv.Itoa(s.issued)
	s.tokens[token] = true
	return sessions.ProvidedSession{Token: token, Data: *s.data}, true, nil
}

func (s *shop) FetchSessions(context.Context, sessions.Device, int, int) (sessions.ProvidedPage, error) {
	return sessions.ProvidedPage{}, nil
}

func (s *shop) Save(ctx context.Context, token string, data sessions.SessionData) error {
	if err := s.hang(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[token] {
		return sessions.Errorf(sessions.NotFound, "no source %q", token)
	}
	s.saves = append(s.saves, data)
	if s.data.Created.Equal(data.Created) {
		s.data.Used, s.data.TimeUsed, s.data.Started = data.Used, data.TimeUsed, data.Started
	}
	return nil
}

func (s *shop) Reload(context.Context, string) (sessions.SessionData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return sessions.SessionData{}, sessions.Errorf(sessions.NotFound, "no session")
	}
	return *s.data, nil
}

func (s *shop) set(edit func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(s)
}

func (s *shop) lastSave() sessions.SessionData {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.saves) == 0 {
		return sessions.SessionData{}
	}
	return s.saves[len(s.saves)-1]
}

var sold = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func voucher(bytes uint64) *sessions.SessionData {
	return &sessions.SessionData{Type: sessions.Data, Bytes: bytes, Created: sold}
}

// shopWorld is a world with providers.
func shopWorld(t *testing.T, shops map[string]*shop, names ...string) *world {
	t.Helper()
	w := newWorld(t, manager.Config{
		ProviderTimeout: 50 * time.Millisecond,
		Dial: func(r sessions.ProviderRecord) sessions.Provider {
			if s, ok := shops[r.Name]; ok {
				return s
			}
			return nil
		},
	})
	for _, name := range names {
		w.ok(w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: name, Socket: "/run/" + name}))
	}
	t.Cleanup(func() {
		for _, s := range shops {
			s.set(func(s *shop) { s.hanging = false })
		}
		if err := w.Stop(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestProviderComesFirst(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	local := w.buyTime(d, time.Hour)
	next, err := w.Next(w.ctx, d.ID)
	w.ok(err)
	if next.Provider != "cafe" || next.Bytes != 10_000 {
		t.Fatalf("next is %+v", next)
	}
	w.connect(d)
	s, err := w.Current(w.ctx, d.ID)
	w.ok(err)
	if s.ID != next.ID {
		t.Errorf("session %d runs, not %d", s.ID, next.ID)
	}
	w.kernel.Download(d.MAC, 1000)
	w.checkpoint()
	sessionstest.WaitFor(t, "the checkpoint to be saved", func() bool { return cafe.lastSave().Used == 1000 })
	w.kernel.Fill(d.MAC)
	w.drain()
	ended := w.state(s.ID, sessions.Consumed)
	sessionstest.WaitFor(t, "the end to be saved", func() bool { return cafe.lastSave().Used == ended.Bytes })
	sessionstest.WaitFor(t, "the local session to start", func() bool { return w.session(local.ID).State == sessions.Running })
	w.passes(d, true)
}

func TestTopUpAtTheProvider(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.connect(d)
	sessionstest.WaitFor(t, "the start to be saved", func() bool { return !cafe.lastSave().Started.IsZero() })
	cafe.set(func(s *shop) { s.data.Bytes = 50_000 })
	w.kernel.Download(d.MAC, 1000)
	w.checkpoint()
	sessionstest.WaitFor(t, "the top-up to arrive", func() bool { return w.session(1).Bytes == 50_000 })
	sessionstest.WaitFor(t, "the kernel to obey", func() bool {
		return w.kernel.Rule(d.MAC).LimitBytes == 50_000
	})
}

func TestProvidersAreAskedInOrder(t *testing.T) {
	first, second := newShop(nil), newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"first": first, "second": second}, "first", "second")
	d := w.phone(1)
	w.connect(d)
	s, err := w.Current(w.ctx, d.ID)
	w.ok(err)
	if s.Provider != "second" || first.asked == 0 {
		t.Errorf("runs %+v; the first was asked %d times", s, first.asked)
	}
}

func TestPauseOfAProvidedSession(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	w.disconnect(d)
	sessionstest.WaitFor(t, "the pause to be saved", func() bool { return cafe.lastSave().Used == 1000 })
	w.connect(d)
	list, err := w.Sessions(w.ctx, sessions.SessionFilter{})
	w.ok(err)
	if len(list) != 1 || list[0].RemainingBytes() != 9000 {
		t.Errorf("after the pause: %+v", list)
	}
}

func TestSlowProviderIsPassedOver(t *testing.T) {
	slow := newShop(voucher(10_000))
	slow.hanging = true
	w := shopWorld(t, map[string]*shop{"slow": slow}, "slow")
	d := w.phone(1)
	local := w.buyTime(d, time.Hour)
	w.connect(d)
	w.state(local.ID, sessions.Running)
}

// While one device's provider hangs, the meter and other devices continue.
func TestSlowProviderBlocksNoOther(t *testing.T) {
	slow := newShop(nil)
	w := shopWorld(t, map[string]*shop{"slow": slow}, "slow")
	w.cfg.ProviderTimeout = time.Hour
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	a, b := w.phone(1), w.phone(2)
	w.buyTime(b, time.Hour)
	w.connect(b)
	slow.set(func(s *shop) { s.hanging = true })
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error)
	go func() { _, err := w.Connect(ctx, a.ID, ""); done <- err }()
	w.clock.Advance(time.Second)
	w.checkpoint()
	w.disconnect(b)
	cancel()
	if err := <-done; err == nil {
		t.Error("Connect without a session succeeded")
	}
}

// No caller waits for the answer of a provider after a session ended.
func TestSlowProviderAtTheEndOfASession(t *testing.T) {
	slow := newShop(nil)
	w := shopWorld(t, map[string]*shop{"slow": slow}, "slow")
	d := w.phone(1)
	first, second := w.buyData(d, 10_000), w.buyTime(d, time.Hour)
	w.connect(d)
	slow.set(func(s *shop) { s.hanging = true })
	w.kernel.Fill(d.MAC)
	w.drain()
	w.state(first.ID, sessions.Consumed)
	sessionstest.WaitFor(t, "the next session", func() bool { return w.session(second.ID).State == sessions.Running })
	mark := w.mark()
	w.clock.Advance(time.Hour)
	w.checkpoint()
	sessionstest.WaitFor(t, "the disconnection", func() bool { return len(w.events(mark)) == 2 })
	w.happened(mark, "session.consumed(consumed)", "client.disconnected(consumed)")
}

func TestSavesWaitForAProviderThatIsDown(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	local := w.buyTime(d, time.Hour)
	w.connect(d)
	cafe.set(func(s *shop) { s.failing = errors.New("down") })
	w.kernel.Download(d.MAC, 1000)
	w.disconnect(d)
	w.connect(d) // with what was sold here, for the provider does not know its own yet
	w.state(local.ID, sessions.Running)
	w.ok(w.Stop(w.ctx, false))

	// The provider's process was restarted too: it knows its sessions, not the tokens.
	cafe.set(func(s *shop) { s.failing = nil; clear(s.tokens) })
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	sessionstest.WaitFor(t, "the usage to be saved after all", func() bool { return cafe.lastSave().Used == 1000 })
	sessionstest.WaitFor(t, "the row to be marked", func() bool { return !w.session(2).Unsaved })
}

func TestProviderSellsAnotherSession(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.connect(d)
	first, err := w.Current(w.ctx, d.ID)
	w.ok(err)
	w.kernel.Fill(d.MAC)
	cafe.set(func(s *shop) {
		s.data = &sessions.SessionData{Type: sessions.Time, Time: time.Hour, Created: sold.Add(time.Hour)}
	})
	w.drain()
	var second sessions.Session
	sessionstest.WaitFor(t, "the next session of the provider", func() bool {
		second, err = w.Current(w.ctx, d.ID)
		return err == nil
	})
	if second.ID == first.ID || second.Type != sessions.Time || second.Used != 0 {
		t.Errorf("the second session is %+v", second)
	}
}

func TestNonsenseOfAProviderIsPassedOver(t *testing.T) {
	bad := newShop(&sessions.SessionData{Type: sessions.Time, Time: -time.Hour})
	w := shopWorld(t, map[string]*shop{"bad": bad}, "bad")
	d := w.phone(1)
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
}

func TestUnregisteredProviderIsNotAsked(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.ok(w.UnregisterProvider(w.ctx, "cafe"))
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
	if cafe.asked != 0 {
		t.Error("it was asked")
	}
}

func TestProvidersSurviveARestart(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.ok(w.Stop(w.ctx, false))
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.connect(d)
	list, err := w.Providers(w.ctx)
	w.ok(err)
	if len(list) != 1 || list[0].Name != "cafe" {
		t.Errorf("providers: %+v", list)
	}
}
