// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// FuzzProviderAnswer: whatever a provider's process writes, it is refused, or it is a
// session that the agent can keep and send to the provider again.
func FuzzProviderAnswer(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"found":false}`, `{"found":true}`, "\xff", `{"found":true,"found":false}`,
		`{"found":true,"token":"t","data":{"type":"time","time_secs":60}}`,
		`{"found":true,"token":"t","data":{"type":2,"time_secs":60,"time_used_secs":1.25,"data_bytes":1e6,"exp_days":30}}`,
		`{"found":true,"token":"t","data":{"type":1,"data_bytes":-1}}`,
		`{"found":true,"token":"t","data":{"type":1,"data_bytes":NaN}}`,
		`{"found":true,"token":"t","data":{"type":1,"data_bytes":9223372036854775808,"data_used_bytes":1e308}}`,
		`{"found":true,"token":"t","data":{"type":0,"time_secs":60,"time_used_secs":1e-400}}`,
		`{"found":true,"token":"t","data":{"type":0,"created_at":"9999-12-31T23:59:59-23:59","started_at":"0000-01-01T00:00:00Z"}}`,
		`{"sessions":[{"type":"data","data_bytes":5},null,{}],"pages":-1,"count":1e99}`,
		`{"data":` + strings.Repeat(`{"data":`, 200) + strings.Repeat(`}`, 200) + `}`,
		strings.Repeat(`[`, 20_000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = parsePage(wire.ReadObject(raw), 10)
		_ = wire.ReadObject(raw).SessionData("data")
		answer := wire.ReadObject(raw)
		found, ok := parseFound(answer)
		if !ok || answer.Err() != nil {
			if ok {
				t.Fatalf("taken for a session in spite of: %v", answer.Err())
			}
			return
		}
		wantSane(t, found)
		wantRoundTrip(t, found)
	})
}

func wantSane(t *testing.T, found sessions.ProvidedSession) {
	t.Helper()
	d := found.Data
	switch {
	case found.Token == "":
		t.Error("a session without a token")
	case d.Type > sessions.TimeOrData:
		t.Errorf("type %d", d.Type)
	case d.Time < 0 || d.TimeUsed < 0:
		t.Errorf("%s, %s used", d.Time, d.TimeUsed)
	case max(d.Bytes, d.Used, d.DownBPS, d.UpBPS) > math.MaxInt64:
		t.Errorf("no store keeps %+v", d)
	}
}

// wantRoundTrip writes a session as a Save does, and reads it.
func wantRoundTrip(t *testing.T, found sessions.ProvidedSession) {
	t.Helper()
	data := wire.ProviderDataOf(found.Data)
	raw, err := json.Marshal(map[string]any{"found": true, "token": found.Token, "data": data})
	if err != nil {
		if year := max(found.Data.Created.UTC().Year(), found.Data.Started.UTC().Year()); year > 9999 {
			return // refused by the rules
		}
		t.Fatal(err)
	}
	again, ok := parseFound(wire.ReadObject(raw))
	nearly := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < time.Millisecond }) // a float of seconds
	if diff := cmp.Diff(found, again, nearly); !ok || diff != "" {
		t.Errorf("sent again it is %s", diff)
	}
}

// A provider that writes without end is cut off, by its size or by the time-out.
func TestProviderWritesWithoutEnd(t *testing.T) {
	endless := func(head string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", wire.TypeProblem)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(head))
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"body":    endless(`{"found":`, http.StatusOK),
		"refusal": endless(`{"detail":"`, http.StatusInternalServerError),
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", maxProviderHeader))
			w.WriteHeader(http.StatusOK)
		},
	} {
		_, ok, err := serveAnswer(t, handler).GetSession(t.Context(), someDevice)
		if ok || err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s: %v, %.2000v", name, ok, err)
		}
	}
}

// A page has no more sessions than were asked for.
func TestProviderSendsTooMany(t *testing.T) {
	p := serveAnswer(t, text(`{"sessions":[{"type":0},{"type":0}],"pages":1,"count":2}`))
	if page, err := p.FetchSessions(t.Context(), someDevice, 1, 2); err != nil || len(page.Sessions) != 2 {
		t.Errorf("two of two: %+v, %v", page, err)
	}
	_, err := p.FetchSessions(t.Context(), someDevice, 1, 1)
	apitest.WantCode(t, err, sessions.Unavailable, "odd", "2 were sent, 1 were asked for")
}

// What a provider says of itself goes into the log, but not all of it.
func TestProviderTalksTooMuch(t *testing.T) {
	p := serveAnswer(t, func(w http.ResponseWriter, _ *http.Request) {
		wire.WriteProblem(w, wire.Problem{Status: 503, Code: sessions.Unavailable, Detail: strings.Repeat("la\n", 10_000)})
	})
	_, err := p.Reload(t.Context(), "t")
	apitest.WantCode(t, err, sessions.Unavailable, "odd")
	if len(err.Error()) > 1000 {
		t.Errorf("%d bytes of %.100q", len(err.Error()), err)
	}
}
