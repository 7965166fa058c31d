// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func serve(t *testing.T, handler http.HandlerFunc) *http.Transport {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { CloseQuietly(server) })
	return SocketTransport(path, 0)
}

func post(ctx context.Context, t *testing.T, s *http.Transport, body string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return s.RoundTrip(r)
}

func TestSocketCalls(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	for _, body := range []string{"", "hello", strings.Repeat("long ", 100_000)} {
		answer, err := post(t.Context(), t, s, body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		CloseQuietly(answer.Body)
		if string(got) != body || err != nil || !answer.Close {
			t.Errorf("%d bytes came back as %d, %v; closed: %v", len(body), len(got), err, answer.Close)
		}
	}
}

func TestSocketEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	answer, err := post(ctx, t, s, "")
	if err != nil {
		t.Fatal(err)
	}
	defer CloseQuietly(answer.Body)
	cancel()
	if _, err := io.ReadAll(answer.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after the end of the context: %v", err)
	}
}

func TestSocketWithoutAServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := post(t.Context(), t, SocketTransport(path, 0), ""); !NotListening(err) {
		t.Errorf("without a socket: %v", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	CloseQuietly(ln)
	if _, err := post(t.Context(), t, SocketTransport(path, 0), ""); !NotListening(err) {
		t.Errorf("without a listener: %v", err)
	}
}

func TestSocketBoundsTheHeader(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 100_000)) })
	s.MaxResponseHeaderBytes = 50_000
	if answer, err := post(t.Context(), t, s, ""); err == nil {
		CloseQuietly(answer.Body)
		t.Error("a header of 100,000 bytes was read")
	}
}
