// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bbrPort   = 8081
	cubicPort = 8082
	echoPort  = 8083

	fairMegabits = "10"
	fairSpeed    = 10e6 // bit/s of IP packets
	tcpPayload   = 1448.0 / mtu

	settling = 3 * time.Second // slow start, and the burst
	sharing  = 6 * time.Second
	beat     = 50 * time.Millisecond
)

// One flow that estimates the bandwidth and three that back off from losses get the
// same of the customer's speed, and together all of it; an echo beside them loses
// nothing.
func TestFlowsShareTheSpeed(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 1}, "limiter: fair")
	s.sell(0, "--type", "time", "--time", "1h", "--down", fairMegabits, "--up", fairMegabits)
	s.serveCongested()
	flows := s.downloads(bbrPort, cubicPort, cubicPort, cubicPort)
	time.Sleep(settling)
	// A stall of the machine spoils one window; a limiter that is unfair, all.
	var wrong []string
	for range 3 {
		if wrong = s.window(flows); len(wrong) == 0 {
			return
		}
	}
	t.Error(strings.Join(wrong, "; "))
}

// window measures the flows and an echo beside them for a while, and says what is
// not as it should be.
func (s *shop) window(flows []*lab.Transfer) (wrong []string) {
	s.Helper()
	echo := s.echo()
	before, start := payloads(flows), time.Now()
	time.Sleep(sharing)
	elapsed := time.Since(start).Seconds()
	var rates []float64
	for i, after := range payloads(flows) {
		rates = append(rates, (after-before[i])*8/elapsed/fairSpeed/tcpPayload)
	}
	sent, answered := echo()
	total, jain := shares(rates)
	s.Logf("bbr, cubic, cubic, cubic: %.3f of the speed, together %.3f, Jain's index %.4f; %d of %d echoes", rates, total, jain, answered, sent)
	if jain < 0.97 {
		wrong = append(wrong, fmt.Sprintf("Jain's index %.4f, want at least 0.97", jain))
	}
	if total < 0.95 || total > 1.03 {
		wrong = append(wrong, fmt.Sprintf("the flows got %.3f of the speed together", total))
	}
	if lost := sent - answered; lost*100 > sent {
		wrong = append(wrong, fmt.Sprintf("%d of %d echoes were lost, want at most 1 %%", lost, sent))
	}
	return wrong
}

// serveCongested serves downloads with either congestion control, and echoes.
func (s *shop) serveCongested() {
	s.Helper()
	for port, congestion := range map[uint16]string{bbrPort: "bbr", cubicPort: "cubic"} {
		stop, err := s.kiosk.Server.ServeBulkWith(port, congestion)
		must(s.T, err)
		s.Cleanup(stop)
	}
	stop, err := s.kiosk.Server.ServeEcho(echoPort)
	must(s.T, err)
	s.Cleanup(stop)
}

// downloads starts one flow from each port.
func (s *shop) downloads(ports ...uint16) (flows []*lab.Transfer) {
	s.Helper()
	for _, port := range ports {
		flow, err := s.kiosk.Customers[0].Download(netip.AddrPortFrom(server4, port), 1)
		must(s.T, err)
		s.Cleanup(flow.Stop)
		flows = append(flows, flow)
	}
	return flows
}

func payloads(flows []*lab.Transfer) (bytes []float64) {
	for _, flow := range flows {
		bytes = append(bytes, float64(flow.Bytes()))
	}
	return bytes
}

func shares(rates []float64) (total, jain float64) {
	var squares float64
	for _, rate := range rates {
		total += rate
		squares += rate * rate
	}
	return total, total * total / squares / float64(len(rates))
}

// echo sends a small packet of one flow every beat, until the returned function
// says how many were sent and how many came back.
func (s *shop) echo() (stop func() (sent, answered int)) {
	s.Helper()
	conn, err := s.kiosk.Customers[0].Dial(s.Context(), "udp", netip.AddrPortFrom(server4, echoPort).String())
	must(s.T, err)
	ctx, cancel := context.WithCancel(s.Context())
	counts := make(chan [2]int, 1)
	go func() {
		defer func() { _ = conn.Close() }()
		var n [2]int
		for ; ctx.Err() == nil; n[0]++ {
			next := time.Now().Add(beat)
			if echoed(conn, uint64(n[0]), time.Now().Add(10*beat)) {
				n[1]++
			}
			time.Sleep(time.Until(next))
		}
		counts <- n
	}()
	return func() (int, int) {
		cancel()
		n := <-counts
		return n[0], n[1]
	}
}

// echoed sends one packet and waits for its echo.
func echoed(conn net.Conn, sequence uint64, until time.Time) bool {
	packet := binary.BigEndian.AppendUint64(nil, sequence)
	if _, err := conn.Write(packet); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(until)
	for answer := make([]byte, 64); ; {
		n, err := conn.Read(answer)
		if err != nil {
			return false
		}
		if n == len(packet) && binary.BigEndian.Uint64(answer) == sequence {
			return true
		}
	}
}
