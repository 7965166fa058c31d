// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzEvents: whatever a stream of events holds, the client reads it to its end or to an
// error that says that the agent cannot be understood.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{"", " ", `{"seq":1,"type":"device.created"}` + "\n", `{"seq":1}{"seq":2}  {"seq":`, `{"seq":"1"}`, "null\n[]", "{\"seq\":1e99}", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c := &transport{socket: "s", http: answering(body)}
		events := 0
		err := stream(t.Context(), c, "/v1/events", func() error { return nil }, func(Event) bool { events++; return true })
		if !errors.Is(err, io.EOF) && CodeOf(err) != Unavailable || events > len(body) {
			t.Errorf("%q: %d events, %v", body, events, err)
		}
	})
}

// answering is a transport that answers everything with one body.
type answering string

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
