// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func next(t *testing.T, ch <-chan []byte) string {
	t.Helper()
	select {
	case data := <-ch:
		return string(data)
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return ""
	}
}

func TestDeviceEvents(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	connected, disconnected := clnt.Subscribe(api.EventConnected), clnt.Subscribe(api.EventDisconnected)
	started := clnt.Subscribe(string(sessions.SessionStarted))
	other := apitest.Must(agent.client.CreateDevice(t.Context(), api.NewDevice{MAC: secondMAC}))(t)
	agent.sell(secondMAC)
	if err := a.SessionsMgr().Connect(t.Context(), apitest.Must(a.Device(t.Context(), other.MAC))(t), "not for us"); err != nil {
		t.Fatal(err)
	}
	startSession(t, a, clnt)
	if err := a.SessionsMgr().Disconnect(t.Context(), clnt, "bye"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		ch            <-chan []byte
		kind, message string
	}{
		{connected, "client.connected", ""}, {disconnected, "client.disconnected", "bye"}, {started, "session.started", ""},
	} {
		var got struct {
			Type    string
			Device  int64  `json:"device_id"`
			Message string `json:"message"`
		}
		text := next(t, want.ch)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Type != want.kind || got.Device != clnt.Id() || got.Message != want.message {
			t.Errorf("event is %s, want %s with message %q", text, want.kind, want.message)
		}
	}
}

func TestEmit(t *testing.T) {
	_, a, clnt := dialAgent(t)
	same := apitest.Must(a.Http().GetClientDevice(customer()))(t)
	one, two := clnt.Subscribe("paid"), same.Subscribe("paid")
	clnt.Emit("paid", []byte(`{"coins":1}`))
	clnt.Emit("other", []byte(`no`))
	if got := next(t, one) + next(t, two); got != `{"coins":1}{"coins":1}` {
		t.Errorf("subscribers got %s", got)
	}
	same.Unsubscribe("paid", one) // through another object of the same device
	if _, open := <-one; open {
		t.Error("an ended subscription is open")
	}
	const buffer = 64            // of a subscriber
	for i := range 10 * buffer { // without a reader Emit does not wait
		clnt.Emit("paid", []byte{byte(i)})
	}
	if got, want := next(t, two)[0], byte(9*buffer%256); got != want {
		t.Errorf("the oldest that is left is %d, want %d", got, want)
	}
	clnt.Unsubscribe("paid", two)
	clnt.Unsubscribe("paid", two)
}

func TestSubscribersOutliveTheAgent(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	startSession(t, a, clnt)
	if err := a.SessionsMgr().Disconnect(t.Context(), clnt, ""); err != nil {
		t.Fatal(err)
	}
	connected := clnt.Subscribe(api.EventConnected)
	agent.stop()
	agent.start()
	if err := a.SessionsMgr().Connect(t.Context(), clnt, ""); err != nil {
		t.Fatal(err)
	}
	next(t, connected)
}

func TestCloseEndsSubscriptions(t *testing.T) {
	_, a, clnt := dialAgent(t)
	ch := clnt.Subscribe(api.EventConnected)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-ch; open {
		t.Error("a subscription outlives Close")
	}
	if _, open := <-clnt.Subscribe(api.EventConnected); open {
		t.Error("a closed API takes a subscription")
	}
}
