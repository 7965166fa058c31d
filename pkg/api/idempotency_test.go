// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
)

// A sale whose answer breaks off is repeated with its key; one that was refused is not.
func TestSalesAreRepeatedWithTheirKey(t *testing.T) {
	var keys []string
	answer := func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) < 3 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":7,"claim":"7K3M-9QWD-2HXR"}`)
	}
	client := api.NewClient(serveOn(t, answer))
	sold := apitest.Must(client.CreateSession(t.Context(), api.NewSession{Device: "1", Type: "time", TimeSecs: 60}))(t)
	if sold.ID != 7 || len(keys) != 3 || keys[0] == "" || keys[1] != keys[0] || keys[2] != keys[0] {
		t.Errorf("sold %+v by requests with the keys %q", sold, keys)
	}
	ctx := api.WithIdempotencyKey(t.Context(), "coin-7")
	if _, err := client.Connect(ctx, "1", ""); err != nil || keys[3] != "coin-7" {
		t.Errorf("Connect was sent with the keys %q: %v", keys[3:], err)
	}
	if _, err := client.Session(ctx, 1); err != nil || keys[4] != "" {
		t.Errorf("a read was sent with the keys %q: %v", keys[4:], err)
	}
}

// serveOn answers on a Unix socket.
func serveOn(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = apitest.Must(net.Listen("unix", socket))(t)
	server.Start()
	t.Cleanup(server.Close)
	return socket
}
