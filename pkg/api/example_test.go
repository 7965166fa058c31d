// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// exampleAgent serves an agent whose kernel and clock are simulated, with one phone at
// 10.0.0.2, and returns its socket.
func exampleAgent() (agent *apitest.Agent, stop func()) {
	dir, err := os.MkdirTemp("", "hotspot-example-")
	check(err)
	agent = apitest.New(dir)
	agent.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	ctx := context.Background()
	check(agent.Open(ctx, manager.Config{Dial: server.DialProvider}))
	ln, err := server.Listen(agent.Socket(), server.Access{})
	check(err)
	s := server.New(agent.Manager, agent, server.Options{})
	go func() { check(s.Serve(ln)) }()
	return agent, func() {
		check(s.Shutdown(ctx))
		check(agent.Close(ctx))
		check(os.RemoveAll(dir))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A portal sells a minute to the customer behind a request, and connects.
func Example() {
	agent, stop := exampleAgent()
	defer stop()

	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()

	r := httptest.NewRequest(http.MethodPost, "/buy", nil) // the customer's
	r.RemoteAddr = "10.0.0.2:40000"

	clnt, err := a.Http().GetClientDevice(r)
	check(err)
	expDays := uint(30)
	check(a.SessionsMgr().CreateSession(r.Context(), clnt.Id(), 0, 60, 0, &expDays, 5, 3, false))
	check(a.SessionsMgr().Connect(r.Context(), clnt, "You are now connected to internet."))

	connected, err := a.SessionsMgr().IsConnected(clnt)
	check(err)
	session, _ := a.SessionsMgr().CurrSession(clnt)
	fmt.Println(clnt.MacAddr(), connected, session.RemainingTime(), "s")
	// Output: 02:00:00:00:00:01 true 60 s
}

// A portal answers phones that ask whether they are captive.
func ExampleClient_captiveHandler() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()

	captive, err := a.Client().CaptiveHandler(api.CaptivePages{Portal: "https://portal.example/", CanExtend: true})
	check(err)
	mux := http.NewServeMux() // served by TLS
	mux.Handle("/captive", captive)

	r := httptest.NewRequest(http.MethodGet, "https://portal.example/captive", nil) // the phone's
	r.RemoteAddr = "10.0.0.2:40000"
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Header().Get("Content-Type"))
	fmt.Print(w.Body)
	// Output:
	// application/captive+json
	// {"captive":true,"user-portal-url":"https://portal.example/","can-extend-session":true}
}

// Without an agent Dial fails with the code Unavailable.
func ExampleDial() {
	_, err := api.Dial("/nonexistent/agent.sock")
	fmt.Println(api.CodeOf(err))
	fmt.Println(err)
	// Output:
	// unavailable
	// no agent answers on /nonexistent/agent.sock; start it with: hotspot-agent run
}

// A device by its MAC, without a request of it.
func ExampleAPI_Device() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()
	ctx := context.Background()

	_, err = a.Client().CreateDevice(ctx, api.NewDevice{MAC: "02:00:00:00:00:01", Hostname: "phone"})
	check(err)
	clnt, err := a.Device(ctx, "02-00-00-00-00-01")
	check(err)
	fmt.Println(clnt.Id(), clnt.MacAddr(), clnt.Hostname())
	// Output: 1 02:00:00:00:00:01 phone
}

// What is wrong with a purchase is in the code, the field and the message of an error.
func ExampleSessionsMgr_CreateSession() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()
	ctx := context.Background()
	device, err := a.Client().CreateDevice(ctx, api.NewDevice{MAC: "02:00:00:00:00:01"})
	check(err)

	err = a.SessionsMgr().CreateSession(ctx, device.ID, 1, 0, -5, nil, 0, 0, false)
	var refused *api.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Field)
		fmt.Println(refused)
	}
	// Output:
	// invalid data_mb
	// data_mb: -5 is negative
}

// Connect with nothing to consume is an error that a portal answers with its prices.
func ExampleSessionsMgr_Connect() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()
	ctx := context.Background()
	_, err = a.Client().CreateDevice(ctx, api.NewDevice{MAC: "02:00:00:00:00:01"})
	check(err)
	clnt, err := a.Device(ctx, "1")
	check(err)

	if err := a.SessionsMgr().Connect(ctx, clnt, ""); api.CodeOf(err) == api.NoSession {
		fmt.Println("buy a session first")
	}
	check(a.SessionsMgr().CreateSession(ctx, clnt.Id(), 1, 0, 100, nil, 0, 0, false))
	check(a.SessionsMgr().Connect(ctx, clnt, ""))
	session, err := a.SessionsMgr().GetSession(ctx, clnt)
	check(err)
	fmt.Println(session.RemainingData(), "MB")
	// Output:
	// buy a session first
	// 100 MB
}

// A customer's browser is notified when its session ends.
func ExampleClientDevice() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()
	ctx := context.Background()
	_, err = a.Client().CreateDevice(ctx, api.NewDevice{MAC: "02:00:00:00:00:01"})
	check(err)
	clnt, err := a.Device(ctx, "1")
	check(err)
	check(a.SessionsMgr().CreateSession(ctx, clnt.Id(), 0, 60, 0, nil, 0, 0, false))
	check(a.SessionsMgr().Connect(ctx, clnt, ""))

	ended := clnt.Subscribe(api.EventDisconnected)
	defer clnt.Unsubscribe(api.EventDisconnected, ended)
	check(a.SessionsMgr().Disconnect(ctx, clnt, "Paused. See you!"))
	var event api.Event
	check(json.Unmarshal(<-ended, &event))
	fmt.Println(event.Type, event.Reason, event.Message)
	// Output: client.disconnected request Paused. See you!
}

// The events of all devices, from the first.
func ExampleClient() {
	agent, stop := exampleAgent()
	defer stop()
	client := api.NewClient(agent.Socket())
	ctx := context.Background()
	_, err := client.CreateSession(ctx, api.NewSession{Device: "02:00:00:00:00:01", Type: "data", DataBytes: 1e6})
	check(err)
	_, err = client.Connect(ctx, "1", "")
	check(err)

	for event, err := range client.Events(ctx, 0) {
		check(err)
		fmt.Println(event.Seq, event.Type)
		if event.Type == api.ClientConnected {
			break
		}
	}
	// Output:
	// 1 device.created
	// 2 session.created
	// 3 session.started
	// 4 client.connected
}

// trial gives every device 30 seconds, once.
type trial struct {
	mu   sync.Mutex
	sold map[int64]*trialSession
}

// Name is the name under which the agent knows the provider.
func (*trial) Name() string { return "trial" }

func (t *trial) GetSession(_ context.Context, clnt api.ClientDevice) (api.SessionSource, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sold[clnt.Id()]
	if !ok {
		s = &trialSession{data: api.SessionData{TimeSecs: 30, CreatedAt: time.Now()}}
		t.sold[clnt.Id()] = s
	}
	data := s.Data()
	return s, data.TimeCons < data.TimeSecs
}

func (t *trial) FetchSessions(context.Context, api.ClientDevice, int, int) (api.FetchSessionsResult, error) {
	return api.FetchSessionsResult{}, nil
}

// trialSession is one session of the provider, which a real one keeps in its database.
type trialSession struct {
	mu   sync.Mutex
	data api.SessionData
}

func (s *trialSession) Data() api.SessionData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

func (s *trialSession) Save(_ context.Context, data api.SessionData) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.TimeCons, s.data.StartedAt = data.TimeCons, data.StartedAt
	return nil
}

func (s *trialSession) Reload(context.Context) (api.SessionData, error) { return s.Data(), nil }

// A provider sells sessions that live in this process; the agent asks it first.
func ExampleSessionsMgr_RegisterSessionProvider() {
	agent, stop := exampleAgent()
	defer stop()
	a, err := api.Dial(agent.Socket())
	check(err)
	defer func() { check(a.Close()) }()
	check(a.SessionsMgr().RegisterSessionProvider(&trial{sold: map[int64]*trialSession{}}))

	ctx := context.Background()
	_, err = a.Client().CreateDevice(ctx, api.NewDevice{MAC: "02:00:00:00:00:01"})
	check(err)
	status, err := a.Client().Connect(ctx, "1", "")
	check(err)
	fmt.Println(status.Connected, status.Session.Provider, status.Session.RemainingSecs)
	// Output: true trial 30
}
