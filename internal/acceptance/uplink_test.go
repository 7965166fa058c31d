// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	uplinkMegabits = 20
	callMegabits   = 1
)

// One customer downloads with eight flows, one with a single flow, and one has a
// call: the call loses nothing, and the others get even shares of what it leaves.
func TestUplinkIsShared(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 3}, fmt.Sprintf("uplink: {down_mbps: %d}", uplinkMegabits))
	for i := range s.kiosk.Customers {
		s.sell(i, "--type", "time", "--time", "1h")
	}
	var flows []*lab.Transfer
	for i, n := range []int{8, 1} {
		flow, err := s.kiosk.Customers[i].Download(netip.AddrPortFrom(server4, bulkPort), n)
		must(t, err)
		t.Cleanup(flow.Stop)
		flows = append(flows, flow)
	}
	caller := s.kiosk.Customers[2]
	sink := s.sink(caller, "udp4")
	call := netip.AddrPortFrom(caller.Addr4, sinkPort)
	time.Sleep(settling)
	// A stall of the machine spoils one window; a share that is unfair, all.
	var wrong []string
	for range 3 {
		if wrong = s.uplinkWindow(flows, sink, call); len(wrong) == 0 {
			return
		}
	}
	t.Error(strings.Join(wrong, "; "))
}

// uplinkWindow measures for a while, and says what is not as it should be.
func (s *shop) uplinkWindow(flows []*lab.Transfer, sink *lab.Sink, call netip.AddrPort) (wrong []string) {
	s.Helper()
	before, start, heard := payloads(flows), time.Now(), sink.Read().Packets
	ctx, cancel := context.WithTimeout(context.Background(), sharing)
	defer cancel()
	sent, err := s.kiosk.Server.Blast(ctx, call, callMegabits*1e6, 200)
	must(s.T, err)
	elapsed := time.Since(start).Seconds()
	var rates []float64
	for i, after := range payloads(flows) {
		rates = append(rates, (after-before[i])*8/elapsed/1e6/tcpPayload)
	}
	lost := sent - (sink.Read().Packets - heard)
	want := float64(uplinkMegabits-callMegabits) / 2
	s.Logf("eight flows and one: %.3f Mbit/s, want %.2f each; the call lost %d of %d", rates, want, lost, sent)
	for _, rate := range rates {
		if math.Abs(rate/want-1) > 0.1 {
			wrong = append(wrong, fmt.Sprintf("a customer got %.2f Mbit/s, want %.2f", rate, want))
		}
	}
	if lost*200 > sent {
		wrong = append(wrong, fmt.Sprintf("the call lost %d of %d packets", lost, sent))
	}
	return wrong
}
