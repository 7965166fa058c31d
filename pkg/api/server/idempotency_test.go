// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// answered is what came back of a request with a key.
type answered struct {
	Status               int
	Body, Location, Type string
	replayed             bool
}

func (a *testAgent) keyed(key, method, path, body string) answered {
	a.t.Helper()
	header := http.Header{wire.HeaderKey: {key}}
	request := apitest.Must(http.NewRequestWithContext(a.t.Context(), method, "http://localhost"+path, strings.NewReader(body)))(a.t)
	request.Header = header
	answer, err := wire.SocketTransport(a.Socket(), 0).RoundTrip(request)
	if err != nil {
		a.t.Errorf("%s %s: %v", method, path, err)
		return answered{}
	}
	defer wire.CloseQuietly(answer.Body)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Error(err)
	}
	return answered{answer.StatusCode, string(text), answer.Header.Get("Location"), answer.Header.Get("Content-Type"), answer.Header.Get("Idempotency-Replayed") == "true"}
}

const sale = `{"device":"` + firstMAC + `","type":"time","time_secs":1800}`

// The kind: a caller does not know whether a request was done whose answer was lost, and
// sends it again. Every request that changes something has one effect for its key, and the
// first answer again, the claim code included, whatever came between: other requests, a
// restart, the death of the agent between the change and its answer.
func TestRetriesHaveOneEffect(t *testing.T) {
	a := startAgent(t, Options{})
	first := []answered{
		a.keyed("k1", "POST", "/v1/sessions", sale),
		a.keyed("k2", "PATCH", "/v1/sessions/1", `{"add_time_secs":600}`),
		a.keyed("k3", "POST", "/v1/devices", `{"mac":"`+secondMAC+`"}`),
		a.keyed("k4", "POST", "/v1/devices/1/connect", `{"notify":"hello"}`),
		a.keyed("k5", "PATCH", "/v1/sessions/1", `{"device":2}`),
		a.keyed("k6", "POST", "/v1/providers", `{"name":"shop","socket":"/nowhere/s"}`),
		a.keyed("k7", "DELETE", "/v1/providers/shop", ""),
		a.keyed("k8", "DELETE", "/v1/sessions/1/claim", ""),
		a.keyed("k9", "DELETE", "/v1/sessions/1", ""),
	}
	for i, status := range []int{201, 200, 201, 200, 200, 201, 204, 204, 204} {
		if first[i].Status != status || first[i].replayed {
			t.Fatalf("request %d: %+v, want %d", i+1, first[i], status)
		}
	}
	if !strings.Contains(first[0].Body, `"claim":"`) {
		t.Errorf("the sale was answered %s, want its claim code", first[0].Body)
	}
	before := apitest.Must(a.client.StoredEvents(t.Context(), 0))(t)
	for restarted := range 2 {
		again := []answered{
			a.keyed("k1", "POST", "/v1/sessions", sale),
			a.keyed("k2", "PATCH", "/v1/sessions/1", `{"add_time_secs":600}`),
			a.keyed("k3", "POST", "/v1/devices", `{"mac":"`+secondMAC+`"}`),
			a.keyed("k4", "POST", "/v1/devices/1/connect", `{"notify":"hello"}`),
			a.keyed("k5", "PATCH", "/v1/sessions/1", `{"device":2}`),
			a.keyed("k6", "POST", "/v1/providers", `{"name":"shop","socket":"/nowhere/s"}`),
			a.keyed("k7", "DELETE", "/v1/providers/shop", ""),
			a.keyed("k8", "DELETE", "/v1/sessions/1/claim", ""),
			a.keyed("k9", "DELETE", "/v1/sessions/1", ""),
		}
		for i := range again {
			if !again[i].replayed {
				t.Errorf("request %d was done again: %+v", i+1, again[i])
			}
			again[i].replayed = false
		}
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(answered{})); diff != "" {
			t.Errorf("restarted %d times: answers (-first +again):\n%s", restarted, diff)
		}
		a.stop()
		a.start()
	}
	if after := apitest.Must(a.client.StoredEvents(t.Context(), 0))(t); len(after) != len(before) {
		t.Errorf("repetitions published %d events", len(after)-len(before))
	}
}

// What is stored with the change is the answer when the agent dies before it gives its own:
// the verb alone is called here, as far as such an agent comes.
func TestAnswerIsStoredWithTheChange(t *testing.T) {
	a := startAgent(t, Options{})
	device := apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	other := apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: secondMAC}))(t)
	more := 10 * time.Minute
	for _, r := range []struct {
		key, method, path, body string
		sold                    func(sessions.Purchase) *reply
		verb                    func(context.Context) error
	}{
		{"k1", "POST", "/v1/sessions", sale, bought, func(ctx context.Context) error {
			_, err := a.CreateSession(ctx, sessions.SessionSpec{Device: sessions.DeviceID(device.ID), Type: sessions.Time, Time: time.Hour})
			return err
		}},
		{"k2", "PATCH", "/v1/sessions/1", `{"add_time_secs":600}`, changed, func(ctx context.Context) error {
			_, err := a.UpdateSession(ctx, 1, sessions.SessionPatch{AddTime: &more})
			return err
		}},
		{"k3", "PATCH", "/v1/sessions/1", `{"device":2}`, changed, func(ctx context.Context) error {
			_, err := a.MoveSession(ctx, 1, sessions.DeviceID(other.ID))
			return err
		}},
		{"k4", "DELETE", "/v1/sessions/1", "", deleted, func(ctx context.Context) error { return a.DeleteSession(ctx, 1) }},
	} {
		request := apitest.Must(http.NewRequestWithContext(t.Context(), r.method, "http://localhost"+r.path, nil))(t)
		q := requestOf(r.key, &call{Request: request, body: []byte(r.body)})
		q.Seal = func(p sessions.Purchase) ([]byte, error) { return seal(r.key, plain(r.sold(p))) }
		if err := r.verb(sessions.WithRequest(t.Context(), q)); err != nil {
			t.Fatal(err)
		}
		a.stop()
		a.start()
		want := r.sold(sessions.Purchase{}).status
		if again := a.keyed(r.key, r.method, r.path, r.body); !again.replayed || again.Status != want {
			t.Errorf("%s %s after the change: %+v, want the answer that was kept", r.method, r.path, again)
		}
	}
}

// A key is one request's. What was refused may be corrected under its key.
func TestKeysAreChecked(t *testing.T) {
	a := startAgent(t, Options{})
	if first := a.keyed("k1", "POST", "/v1/sessions", sale); first.Status != 201 {
		t.Fatal(first)
	}
	for _, other := range []struct{ method, path, body string }{
		{"POST", "/v1/sessions", strings.Replace(sale, "1800", "3600", 1)},
		{"PATCH", "/v1/sessions/1", `{"add_time_secs":600}`},
		{"DELETE", "/v1/sessions/1", ""},
	} {
		header := http.Header{wire.HeaderKey: {"k1"}}
		answer, problem := a.ask(other.method, other.path, other.body, header)
		if answer.StatusCode != http.StatusUnprocessableEntity || problem.Code != sessions.Conflict || problem.Status != 422 || problem.Field != wire.HeaderKey {
			t.Errorf("%s %s with the key of another request: %d %+v", other.method, other.path, answer.StatusCode, problem)
		}
	}
	for _, keys := range [][]string{{""}, {strings.Repeat("k", 256)}, {"ключ"}, {"a\tb"}, {"one", "two"}} {
		answer, problem := a.ask("POST", "/v1/sessions", sale, http.Header{wire.HeaderKey: keys})
		if answer.StatusCode != http.StatusBadRequest || problem.Field != wire.HeaderKey {
			t.Errorf("keys %q: %d %+v", keys, answer.StatusCode, problem)
		}
	}
	if bad := a.keyed("k2", "POST", "/v1/sessions", `{"device":"`+firstMAC+`","type":"time"}`); bad.Status != 400 {
		t.Errorf("a sale of nothing: %+v", bad)
	}
	if good := a.keyed("k2", "POST", "/v1/sessions", sale); good.Status != 201 || good.replayed {
		t.Errorf("corrected under the same key: %+v", good)
	}
	if list := apitest.Must(a.client.Sessions(t.Context(), api.SessionQuery{}))(t); len(list) != 2 {
		t.Errorf("%d sessions were sold, want 2", len(list))
	}
}

// Requests with one key at the same time: one is done, and the others wait for its answer.
func TestRetriesAtTheSameTime(t *testing.T) {
	a := startAgent(t, Options{})
	answers := make([]answered, 20)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = a.keyed("coin-7f3a", "POST", "/v1/sessions", sale) })
	}
	group.Wait()
	done := 0
	for _, answer := range answers {
		if answer.Status != 201 || answer.Body != answers[0].Body {
			t.Errorf("%+v, want the answer of the others, %+v", answer, answers[0])
		}
		if !answer.replayed {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d requests were done, want 1", done)
	}
}

// The database shows no claim code, though it has the answer.
func TestKeptAnswersAreSealed(t *testing.T) {
	text := []byte(`{"status":201}`)
	sealed := apitest.Must(seal("coin-7f3a", text))(t)
	if strings.Contains(string(sealed), "status") {
		t.Error("the answer is stored as it is")
	}
	if answer, err := unseal("coin-7f3a", sealed); err != nil || answer.status != 201 || answer.body != nil {
		t.Errorf("unsealed: %+v, %v", answer, err)
	}
	if _, err := unseal("coin-7f3b", sealed); err == nil {
		t.Error("another key reads it")
	}
}

// A purchase can be found by what its caller calls it, and is not sold twice under it.
func TestReferences(t *testing.T) {
	a := startAgent(t, Options{})
	ctx := t.Context()
	order := api.NewSession{Device: firstMAC, Type: "time", TimeSecs: 60, Reference: "order 7"}
	sold := apitest.Must(a.client.CreateSession(ctx, order))(t)
	if sold.Reference != "order 7" {
		t.Errorf("sold %+v", sold)
	}
	_, err := a.client.CreateSession(ctx, order)
	apitest.WantCode(t, err, sessions.Conflict, `"order 7"`, "session 1")
	a.sell(firstMAC)
	found := apitest.Must(a.client.Sessions(ctx, api.SessionQuery{Reference: "order 7"}))(t)
	if len(found) != 1 || found[0].ID != sold.ID {
		t.Errorf("by its reference: %+v", found)
	}
	order.Reference = strings.Repeat("x", 129)
	_, err = a.client.CreateSession(ctx, order)
	apitest.WantCode(t, err, sessions.Invalid, "reference")
}
