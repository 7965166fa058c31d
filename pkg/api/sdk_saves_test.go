// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// slowShop sits on its first save for longer than the agent waits, and does not look
// at the context. It makes a new source for each question, as many do.
type slowShop struct {
	mu      sync.Mutex
	data    api.SessionData
	saves   int
	began   chan struct{}
	release chan struct{}
	sitting atomic.Bool
}

type slowSource struct{ *slowShop }

func (s *slowShop) GetSession(context.Context, api.ClientDevice) (api.SessionSource, bool) {
	return &slowSource{s}, true
}

func (s *slowShop) FetchSessions(context.Context, api.ClientDevice, int, int) (api.FetchSessionsResult, error) {
	return api.FetchSessionsResult{}, nil
}

func (s *slowSource) Data() api.SessionData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

func (s *slowSource) Save(_ context.Context, data api.SessionData) error {
	if !s.sitting.Swap(true) {
		close(s.began)
		<-s.release
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.saves = data, s.saves+1
	return nil
}

func (s *slowSource) Reload(context.Context) (api.SessionData, error) { return s.Data(), nil }

// A save that the agent gave up does not end after a newer one: what was used in
// between would be given back.
func TestSavesStayInOrder(t *testing.T) {
	agent, a, _ := dialAgent(t)
	shop := &slowShop{began: make(chan struct{}), release: make(chan struct{})}
	shop.data = api.SessionData{Type: 1, DataMb: 10, CreatedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	if err := a.SessionsMgr().RegisterSessionProvider(shop); err != nil {
		t.Fatal(err)
	}
	remote := server.DialProvider(apitest.Must(agent.Providers(t.Context()))(t)[0])
	device := apitest.Must(agent.CreateDevice(t.Context(), sessions.DeviceSpec{MAC: firstMAC}))(t)
	save := func(ctx context.Context, used uint64) error {
		offer, _, err := remote.GetSession(t.Context(), device)
		if err != nil {
			return err
		}
		offer.Data.Used = used
		return remote.Save(ctx, offer.Token, offer.Data)
	}
	short, cancel := context.WithCancel(t.Context())
	go func() {
		<-shop.began
		cancel()
	}()
	if err := save(short, 1_000_000); err == nil {
		t.Fatal("the save did not hang")
	}
	done := make(chan error, 1)
	go func() { done <- save(t.Context(), 2_000_000) }()
	select {
	case err := <-done:
		done <- err
	case <-time.After(100 * time.Millisecond): // it waits for the first
	}
	close(shop.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		shop.mu.Lock()
		saves, used := shop.saves, shop.data.DataCons
		shop.mu.Unlock()
		if saves == 2 && used != 2 {
			t.Fatalf("%v MB are used, says the provider, 2 MB were", used)
		}
		if saves == 2 || time.Now().After(deadline) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
