// SPDX-License-Identifier: Apache-2.0

// Provider sells sessions that live in its own process: every device gets one minute,
// once. The agent asks it before it considers its own sessions, and saves what was
// used; it could as well sit in front of a shop's database.
//
//	go run . -socket /run/hotspot-agent/agent.sock
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func main() {
	socket := flag.String("socket", api.DefaultSocket, "the agent's `socket`")
	secs := flag.Uint("secs", 60, "`seconds` that every device gets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := provide(ctx, *socket, *secs); err != nil {
		log.Print(err)
	}
}

// provide runs until ctx ends; the agent calls the provider meanwhile.
func provide(ctx context.Context, socket string, secs uint) error {
	agent, err := api.Dial(socket)
	if err != nil {
		return err
	}
	free := &freeMinutes{secs: secs, sold: map[int64]*freeSession{}}
	if err := agent.SessionsMgr().RegisterSessionProvider(free); err != nil {
		return err
	}
	log.Print("registered")
	<-ctx.Done()
	return agent.Close()
}

// freeMinutes is the provider.
type freeMinutes struct {
	secs uint
	mu   sync.Mutex
	sold map[int64]*freeSession // by device
}

// Name is what the agent calls this provider.
func (p *freeMinutes) Name() string { return "free-minutes" }

// GetSession sells on first sight.
func (p *freeMinutes) GetSession(_ context.Context, clnt api.ClientDevice) (api.SessionSource, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	session, ok := p.sold[clnt.Id()]
	if !ok {
		session = &freeSession{data: api.SessionData{
			Provider: p.Name(), Type: 0, TimeSecs: p.secs, DownMbits: 5, UpMbits: 3, CreatedAt: time.Now(),
		}}
		p.sold[clnt.Id()] = session
		log.Printf("gave %d s to %s", p.secs, clnt.MacAddr())
	}
	data := session.Data()
	return session, data.TimeCons < data.TimeSecs
}

// FetchSessions lists the one session of a device.
func (p *freeMinutes) FetchSessions(_ context.Context, clnt api.ClientDevice, page, _ int) (api.FetchSessionsResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	session, ok := p.sold[clnt.Id()]
	if !ok || page > 1 {
		return api.FetchSessionsResult{}, nil
	}
	return api.FetchSessionsResult{Sessions: []api.SessionData{session.Data()}, Pages: 1, Count: 1}, nil
}

// freeSession is one sold session; a real provider keeps it in its database.
type freeSession struct {
	mu   sync.Mutex
	data api.SessionData
}

// Data returns the session as it is.
func (s *freeSession) Data() api.SessionData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// Save takes over what the agent debited.
func (s *freeSession) Save(_ context.Context, data api.SessionData) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.TimeCons, s.data.DataCons, s.data.StartedAt = data.TimeCons, data.DataCons, data.StartedAt
	log.Printf("saved: %d of %d s used", data.TimeCons, data.TimeSecs)
	return nil
}

// Reload returns what is saved.
func (s *freeSession) Reload(context.Context) (api.SessionData, error) { return s.Data(), nil }
