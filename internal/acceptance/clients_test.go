// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	captiveAPI    = "https://portal.kiosk.example/v1/captive"
	otherResolver = "8.8.8.8"
)

// Programs that others wrote meet the portal; `make clients` has browsers and network managers
// do the same.
func TestClients(t *testing.T) {
	k := newKiosk(t, lab.KioskConfig{Customers: 1})
	must(t, k.DefaultRoutes())
	s := openIn(t, k, captiveYAML)
	s.page(k.Router, lab.RouterLAN4+":80", "Portal")
	s.page(k.Server, "[::]:80", "Internet")
	s.dhcp()
	customer, page := k.Customers[0], "http://"+lab.Server4+"/"

	t.Run("curl before paying", func(t *testing.T) {
		if got, err := curl(customer, "--location", page); got != "Portal" || err != nil {
			t.Errorf("%s: %q %v", page, got, err)
		}
		const couldNotConnect = 7 // curl(1)
		var exit *exec.ExitError
		if got, err := curl(customer, "https://"+lab.Server4+"/"); !errors.As(err, &exit) || exit.ExitCode() != couldNotConnect {
			t.Errorf("https: %q %v, want it refused", got, err)
		}
	})
	t.Run("another resolver before paying", func(t *testing.T) {
		began := time.Now()
		if addrs, err := lookUp(t, customer); err == nil {
			t.Errorf("%s answered %v", otherResolver, addrs)
		}
		if took := time.Since(began); took > answerWithin {
			t.Errorf("refused after %v", took)
		}
	})
	t.Run("udhcpc", func(t *testing.T) { udhcpc(t, customer, captiveAPI) })
	s.sell(0, "--type", "time", "--time", "1h")
	t.Run("curl on payment", func(t *testing.T) {
		if got, err := curl(customer, page); got != "Internet" || err != nil {
			t.Errorf("%s: %q %v", page, got, err)
		}
	})
}

// page serves a page at an address.
func (s *shop) page(h *lab.Host, address, text string) {
	s.Helper()
	listener, err := h.Listen(address)
	must(s.T, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) })}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	s.Cleanup(func() {
		must(s.T, server.Close())
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			s.Errorf("the page of %s: %v", address, err)
		}
	})
}

// dhcp has dnsmasq hand out addresses, and announce the portal's API (RFC 8910).
func (s *shop) dhcp() {
	s.Helper()
	s.dnsmasq(append(s.leases(), "--conf-file=/dev/null", "--dhcp-option=114,"+captiveAPI)...)
}

// leases have dnsmasq serve DHCPv4 alone.
func (s *shop) leases() []string {
	return []string{"--port=0", "--no-ping", "--dhcp-leasefile=" + filepath.Join(s.TempDir(), "leases"), "--dhcp-range=10.77.0.100,10.77.0.199,1h"}
}

// dnsmasq serves the customers until the test ends.
func (s *shop) dnsmasq(args ...string) {
	s.Helper()
	cmd := s.kiosk.Router.Command("dnsmasq", append([]string{"--keep-in-foreground", "--user=root", "--pid-file=", "--log-facility=-", "--interface=" + lab.Bridge}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	must(s.T, cmd.Start())
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("dnsmasq: %s", complaint.String())
		}
	})
}

func curl(h *lab.Host, args ...string) (string, error) {
	most := fmt.Sprint(answerWithin.Seconds())
	out, err := h.Command("curl", append([]string{"--silent", "--max-time", most}, args...)...).Output()
	return string(out), err
}

// lookUp asks another resolver for a name, once.
func lookUp(t *testing.T, h *lab.Host) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return h.Dial(ctx, network, net.JoinHostPort(otherResolver, "53"))
	}}
	return resolver.LookupHost(ctx, "www.internet.example.")
}

// udhcpc gets a lease with the URL of an API, and leaves the interface alone.
func udhcpc(t *testing.T, h *lab.Host, api string) {
	t.Helper()
	script, lease := filepath.Join(t.TempDir(), "script"), filepath.Join(t.TempDir(), "lease")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" != bound ] || echo \"$opt114\" >"+lease+"\n"), 0o700))
	out, err := h.Command("busybox", "udhcpc", "-f", "-n", "-q", "-t", "5", "-T", "1", "-i", lab.Uplink, "-O", "114", "-s", script).CombinedOutput()
	if err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	text, err := os.ReadFile(lease)
	must(t, err)
	if got, err := hex.DecodeString(strings.TrimSpace(string(text))); string(got) != api || err != nil {
		t.Errorf("option 114 is %q (%v)", got, err)
	}
}
