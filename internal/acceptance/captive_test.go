// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	portalURL    = "http://" + lab.RouterLAN4 + "/"
	captiveYAML  = "captive: {redirect: \"" + portalURL + "\"}"
	answerWithin = 2 * time.Second // far below what a dropped SYN costs: 1 s, 3 s, 7 s, …
)

// browser is a client that opens a connection for each request and follows no redirect.
func browser(h *lab.Host) *http.Client {
	return &http.Client{
		Timeout:       answerWithin,
		Transport:     &http.Transport{DialContext: h.Dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A device that has not paid is led to the portal from any address, refused at once
// elsewhere, and reaches the internet when it has paid: wherever the agent stands, and
// whether or not it runs.
func TestCaptive(t *testing.T) {
	for name, place := range map[string]struct {
		offloads lab.Offloads
		prepare  func(*lab.Kiosk) error
		config   []string
	}{
		"bridge":           {lab.OffloadsOn, (*lab.Kiosk).DefaultRoutes, []string{"interfaces: [br-lan]"}},
		"without offloads": {lab.OffloadsOff, (*lab.Kiosk).DefaultRoutes, []string{"interfaces: [br-lan]"}},
		"clsact":           {lab.OffloadsOn, (*lab.Kiosk).DefaultRoutes, []string{"interfaces: [br-lan]", "attach: clsact"}},
		"port":             {lab.OffloadsOn, (*lab.Kiosk).DefaultRoutes, []string{"interfaces: [lan1]"}},
		"interface": {lab.OffloadsOn, func(k *lab.Kiosk) error { return errors.Join(k.Unbridge(), k.DefaultRoutes()) },
			[]string{"interfaces: [lan1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKiosk(t, lab.KioskConfig{Customers: 1, Offloads: place.offloads})
			must(t, place.prepare(k))
			s := openIn(t, k, append(place.config, captiveYAML)...)
			t.Run("before paying", func(t *testing.T) { captive(t, k.Customers[0]) })
			must(t, s.agent.Kill())
			t.Run("agent killed", func(t *testing.T) { captive(t, k.Customers[0]) })
			must(t, s.agent.Start())
			s.sell(0, "--type", "time", "--time", "1h")
			for _, server := range []netip.Addr{server4, server6} {
				if _, err := k.Customers[0].Download(netip.AddrPortFrom(server, bulkPort), 1); err != nil {
					t.Errorf("paid, to %v: %v", server, err)
				}
			}
		})
	}
}

func captive(t *testing.T, customer *lab.Host) {
	t.Helper()
	for _, addr := range []netip.Addr{server4, server6} {
		for _, header := range []string{"", strings.Repeat("x", 30_000)} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+netip.AddrPortFrom(addr, 80).String()+"/any", nil)
			must(t, err)
			request.Header.Set("X-Long", header)
			response, err := browser(customer).Do(request)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusFound || response.Header.Get("Location") != portalURL || err != nil || !strings.Contains(string(body), portalURL) {
				t.Errorf("%v: %v %q %v", addr, response.Status, response.Header.Get("Location"), err)
			}
		}
		for _, port := range []uint16{443, bulkPort} {
			ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
			_, err := customer.Dial(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
			cancel()
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("TCP to %v:%d: %v, want it refused", addr, port, err)
			}
		}
		if err := datagram(t, customer, netip.AddrPortFrom(addr, 443)); !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.EACCES) {
			t.Errorf("UDP to %v: %v, want an ICMP error", addr, err)
		}
	}
}

// datagram returns the error that a datagram causes, by the kernel's word.
func datagram(t *testing.T, from *lab.Host, to netip.AddrPort) error {
	t.Helper()
	conn, err := from.Dial(t.Context(), "udp", to.String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write(make([]byte, 1200))
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(answerWithin)))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// A download that is running when the session is used up ends with a reset, at once.
func TestCaptiveEndsConnections(t *testing.T) {
	for _, server := range []netip.Addr{server4, server6} {
		t.Run(server.String(), func(t *testing.T) {
			k := newKiosk(t, lab.KioskConfig{Customers: 1})
			must(t, k.DefaultRoutes())
			s := openIn(t, k, captiveYAML)
			s.sell(0, "--type", "data", "--data", "5MB")
			conn, err := k.Customers[0].Dial(t.Context(), "tcp", netip.AddrPortFrom(server, bulkPort).String())
			must(t, err)
			defer func() { _ = conn.Close() }()
			_, err = conn.Write([]byte{1})
			must(t, err)
			last := time.Now()
			for buffer := make([]byte, 1<<16); err == nil; {
				must(t, conn.SetReadDeadline(time.Now().Add(patience)))
				last = time.Now()
				_, err = conn.Read(buffer)
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("the download ended with %v", err)
			}
			t.Logf("reset %v after the last byte", time.Since(last))
			if since := time.Since(last); since > answerWithin {
				t.Errorf("reset %v after the last byte", since)
			}
		})
	}
}

// A device that is led to the portal is one event, however often it asks.
func TestCaptiveEvent(t *testing.T) {
	k := newKiosk(t, lab.KioskConfig{Customers: 2})
	must(t, k.DefaultRoutes())
	s := openIn(t, k, captiveYAML)
	for range 2 {
		for _, customer := range k.Customers {
			captive(t, customer)
		}
	}
	want := []string{s.mac(0), s.mac(1)}
	var led []string
	events := s.agent.API()
	defer events.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.sell(0, "--type", "time", "--time", "1h") // its event is behind those
	err := events.Lines(ctx, "/events?after=0", func(line []byte) bool {
		var e struct{ Type, MAC string }
		must(t, json.Unmarshal(line, &e))
		if e.Type == "client.captive" {
			led = append(led, e.MAC)
		}
		return e.Type != "client.connected"
	})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, led); diff != "" {
		t.Errorf("events of (-want +got):\n%s", diff)
	}
}
