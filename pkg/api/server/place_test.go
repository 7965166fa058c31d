// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// happen publishes so many events that the first ones are trimmed.
func (a *testAgent) happen(events int) {
	a.t.Helper()
	err := a.Store.Update(a.t.Context(), func(tx sessions.Tx) error {
		for range events {
			if err := tx.AppendEvent(&sessions.Event{Type: sessions.SessionUpdated, Time: a.Clock.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// The kind: a client continues from a number, and what was between is not there: trimmed,
// or the number is of another database. It is answered 410 with the bounds, whether the
// number is below them, above them, or among them by chance.
func TestLostPlacesAreGone(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(3)
	status := apitest.Must(a.client.Status(t.Context()))(t)
	place := "after=3&generation=" + status.Counts.Generation
	wantOK := func(query string) {
		t.Helper()
		answer, problem := a.ask("GET", "/v1/events?follow=false&"+query, "", nil)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Event-Generation") == "" {
			t.Errorf("%s: %d %+v, want the events, with the generation", query, answer.StatusCode, problem)
		}
	}
	wantGone := func(query string, first, last int64) {
		t.Helper()
		for _, follow := range []string{"&follow=false", ""} {
			answer, problem := a.ask("GET", "/v1/events?"+query+follow, "", nil)
			if answer.StatusCode != http.StatusGone || problem.Code != sessions.Gone || problem.First == nil || *problem.First != first || *problem.Last != last || problem.Generation == "" {
				t.Errorf("%s: %d %+v, want 410 with %d to %d", query, answer.StatusCode, problem, first, last)
			}
		}
	}
	wantOK("after=0")
	wantOK(place)
	wantGone("after=4", 1, 3)
	backup := apitest.Must(os.ReadFile(a.copyDatabase()))(t)
	a.stop()
	a.start()
	wantOK(place) // a restart is no other database
	a.happen(10_400)
	wantOK("")
	first := apitest.Must(a.client.StoredEvents(t.Context(), 0))(t)[0].Seq
	wantGone("after=3", first, 10_403)
	wantGone(place, first, 10_403)
	wantOK("after=10403")
	later := apitest.Must(a.client.Status(t.Context()))(t).Counts

	a.stop()
	for _, part := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(a.Dir, "hotspot.db"+part))
	}
	if err := os.WriteFile(filepath.Join(a.Dir, "hotspot.db"), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	a.start()
	wantOK(place) // it was there when the backup was made
	wantGone("after=10403", 1, 3)
	a.happen(20_000)
	wantGone("after=10403&generation="+later.Generation, apitest.Must(a.client.StoredEvents(t.Context(), 0))(t)[0].Seq, 20_003)
}

// copyDatabase makes a backup while the agent runs.
func (a *testAgent) copyDatabase() string {
	a.t.Helper()
	a.stop() // moves the write-ahead log into the file
	path := filepath.Join(a.t.TempDir(), "backup.db")
	if err := os.WriteFile(path, apitest.Must(os.ReadFile(filepath.Join(a.Dir, "hotspot.db")))(a.t), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.start()
	return path
}

// The client says that events are missing, and continues with the first that is stored.
func TestClientContinuesFromALostPlace(t *testing.T) {
	a := startAgent(t, Options{})
	a.happen(10_400)
	_, err := a.client.StoredEvents(t.Context(), 5)
	var lost *api.LostPlace
	if apitest.WantCode(t, err, sessions.Gone); !errors.As(err, &lost) || lost.Last != 10_400 || lost.First < 2 {
		t.Fatalf("stored events behind a lost place: %v, %+v", err, lost)
	}
	for _, after := range []int64{5, 99_999} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var got []api.Event
		for event, err := range a.client.Events(ctx, after) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, event); len(got) == 2 {
				break
			}
		}
		cancel()
		if len(got) != 2 || got[0].Type != api.EventsLost || got[0].Seq != lost.First-1 || got[1].Seq != lost.First || got[1].Generation == "" {
			t.Errorf("after %d came %+v, want events.lost and event %d", after, got, lost.First)
		}
	}
}

// A client that follows, and to which another database answers some day, is notified.
func TestFollowersNoticeAnotherDatabase(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(5)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []sessions.EventType
	for event, err := range a.client.Events(ctx, 4) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, event.Type); len(got) == 1 {
			a.stop()
			for _, part := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(filepath.Join(a.Dir, "hotspot.db"+part))
			}
			a.start()
			a.devices(9) // more than there were
		}
		if len(got) == 3 {
			break
		}
	}
	if len(got) != 3 || got[1] != api.EventsLost || got[2] != api.DeviceCreated {
		t.Errorf("a follower got %v, want events.lost before the events of the other database", got)
	}
}

// Events of one device, or of some types, only.
func TestSelectedEvents(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(2)
	a.sell("1")
	a.sell("2")
	events := func(query api.EventQuery) (seqs []int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for event, err := range a.client.SelectEvents(ctx, query) {
			if err != nil {
				t.Fatal(err)
			}
			if seqs = append(seqs, event.Seq); event.Seq >= 4 {
				break
			}
		}
		return seqs
	}
	if got := events(api.EventQuery{Device: "2"}); len(got) != 2 || got[0] != 2 || got[1] != 4 {
		t.Errorf("of device 2 came events %v, want 2 and 4", got)
	}
	if got := events(api.EventQuery{Types: []api.EventType{api.SessionCreated, api.SessionLow}}); len(got) != 2 || got[0] != 3 {
		t.Errorf("of sales came events %v, want 3 and 4", got)
	}
}

// An EventSource whose URL has a generation gets ids with it, and sends them back.
func TestEventStreamsCarryTheGeneration(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(2)
	generation := apitest.Must(a.client.Status(t.Context()))(t).Counts.Generation
	header := http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {"1-" + generation}}
	_, lines := a.open("/v1/events?generation="+generation, header)
	if line, err := lines.ReadString('\n'); err != nil || line != "id: 2-"+generation+"\n" {
		t.Errorf("the first line is %q, %v", line, err)
	}
	header.Set("Last-Event-Id", "1-"+strings.Repeat("f", 16))
	if answer, problem := a.ask("GET", "/v1/events", "", header); answer.StatusCode != http.StatusGone {
		t.Errorf("an id of another database: %d %+v", answer.StatusCode, problem)
	}
}
