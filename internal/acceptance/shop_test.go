// SPDX-License-Identifier: Apache-2.0

// Package acceptance proves the promises of the agent on real traffic: the real
// binary in the router of a lab, used by its command line, judged by counts and
// time stamps that share nothing with it.
package acceptance

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bulkPort = 8080
	sinkPort = 9000
	mtu      = 1500 // of every interface of the lab
	patience = 20 * time.Second
)

var (
	server4   = netip.MustParseAddr(lab.Server4)
	server6   = netip.MustParseAddr(lab.Server6)
	agentPath string // of the agent, built by TestMain
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		os.Exit(m.Run()) // each test says that it needs root
	}
	// Senders and sinks must not wait for a thread that the machine keeps waiting.
	runtime.GOMAXPROCS(16)
	// Programs with the race detector sleep for a second at their end otherwise.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	dir, err := os.MkdirTemp("", "hs-acceptance-")
	if err == nil {
		agentPath, err = build(dir)
	}
	status := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// build builds the agent with the race detector: what it finds is in the log that
// every test reads at its end.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "hotspot-agent")
	cmd := exec.Command("go", "build", "-race", "-o", path, "./cmd/hotspot-agent")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w\n%s", err, out)
	}
	return path, nil
}

// shop is a kiosk that is open for business.
type shop struct {
	*testing.T
	kiosk *lab.Kiosk
	agent *harness.Agent
}

// open builds a kiosk with an agent that runs and a bulk server on the internet.
// Everything is removed when the test ends.
func open(t *testing.T, kiosk lab.KioskConfig, config ...string) *shop {
	t.Helper()
	return openIn(t, newKiosk(t, kiosk), config...)
}

func newKiosk(t *testing.T, config lab.KioskConfig) *lab.Kiosk {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("hs-acc")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	k, err := l.Kiosk(config)
	must(t, err)
	return k
}

func openIn(t *testing.T, k *lab.Kiosk, config ...string) *shop {
	t.Helper()
	stop, err := k.Server.ServeBulk(bulkPort)
	must(t, err)
	t.Cleanup(stop)
	agent, err := harness.New(k, agentPath, config...)
	must(t, err)
	t.Cleanup(func() { closeAgent(t, agent) })
	must(t, agent.Start())
	return &shop{T: t, kiosk: k, agent: agent}
}

func closeAgent(t *testing.T, agent *harness.Agent) {
	t.Helper()
	log := agent.Log()
	if strings.Contains(log, "DATA RACE") {
		t.Error("the agent has a data race")
	}
	if t.Failed() {
		t.Logf("the agent's log:\n%s", log)
	}
	must(t, agent.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mac names customer i, counted from 0, to the agent.
func (s *shop) mac(i int) string { return s.kiosk.Customers[i].MAC.String() }

// sell sells a session to customer i and connects the customer.
func (s *shop) sell(i int, flags ...string) harness.Session {
	s.Helper()
	session, err := s.agent.Buy(s.mac(i), flags...)
	must(s.T, err)
	status, err := s.agent.Connect(s.mac(i))
	must(s.T, err)
	if !status.Connected {
		s.Fatalf("connect answered %+v", status)
	}
	return session
}

// ended waits until a session is consumed.
func (s *shop) ended(id int64) harness.Session {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	session, err := s.agent.WaitState(ctx, id, "consumed")
	must(s.T, err)
	return session
}

// wire starts the independent count of customer i.
func (s *shop) wire(i int) *wire {
	s.Helper()
	counter, err := s.kiosk.Wire(i)
	must(s.T, err)
	return &wire{s.T, counter}
}

type wire struct {
	t       *testing.T
	counter *lab.Wire
}

// read returns what arrived at the far ends.
func (w *wire) read() (down, up lab.Count) {
	w.t.Helper()
	down, up, err := w.counter.Read()
	must(w.t, err)
	return down, up
}

func (w *wire) total() lab.Count {
	w.t.Helper()
	down, up := w.read()
	return down.Add(up)
}

// blast sends UDP in the background until the returned function is called, which
// says how many packets were sent.
func (s *shop) blast(from *lab.Host, to netip.AddrPort, bitsPerSecond float64, ipBytes int) (stop func() uint64) {
	ctx, cancel := context.WithCancel(s.Context())
	type outcome struct {
		sent uint64
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		sent, err := from.Blast(ctx, to, bitsPerSecond, ipBytes)
		done <- outcome{sent, err}
	}()
	return func() uint64 {
		s.Helper()
		cancel()
		o := <-done
		must(s.T, o.err)
		return o.sent
	}
}

func (s *shop) sink(at *lab.Host, network string) *lab.Sink {
	s.Helper()
	sink, err := at.Sink(network, sinkPort)
	must(s.T, err)
	s.Cleanup(func() { _ = sink.Close() })
	return sink
}

// until waits for a condition.
func (s *shop) until(what string, holds func() bool) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			s.Fatalf("waited %s for: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// silent waits until nothing arrived at a sink for a while.
func (s *shop) silent(sink *lab.Sink) lab.Arrivals {
	s.Helper()
	s.until("a packet", func() bool { return sink.Read().Packets > 0 })
	s.until("silence", func() bool { return lab.Boottime()-sink.Read().Last > 2*lab.Silence })
	return sink.Read()
}
