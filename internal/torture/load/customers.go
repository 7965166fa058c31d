// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// arrive has a crowd of customers connected.
func (b *bed) arrive(ctx context.Context, n int) error {
	var devices []string
	for i := range n {
		devices = append(devices, lab.MemberMAC(i).String())
	}
	return b.agent.ConnectAll(ctx, devices, plenty)
}

// latencies are how long a call took, many times.
type latencies []time.Duration

func (l latencies) at(percent int) time.Duration {
	slices.Sort(l)
	return l[min(len(l)*percent/100, len(l)-1)].Round(10 * time.Microsecond)
}

// comeAndGo times the Connects of a customer, as many and for as long as asked.
func (b *bed) comeAndGo(ctx context.Context, times int, least time.Duration) (l latencies, err error) {
	device := b.kiosk.Customers[1].MAC.String()
	if err := b.agent.ConnectAll(ctx, []string{device}, plenty); err != nil {
		return nil, err
	}
	for began := time.Now(); len(l) < times || time.Since(began) < least; {
		if err := b.api.Call(ctx, "POST", "/devices/"+device+"/disconnect", nil, nil); err != nil {
			return nil, err
		}
		called := time.Now()
		if err := b.api.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil); err != nil {
			return nil, err
		}
		l = append(l, time.Since(called))
	}
	return l, nil
}

// watched is a customer whose every packet is numbered.
type watched struct {
	sink *lab.Sink
	end  context.CancelFunc
	sent chan uint64
	err  error
}

// watch has the first customer connected, and send all the time.
func (b *bed) watch(ctx context.Context) (*watched, error) {
	const port, bitsPerSecond, packet = 5001, 400_000, 100 // 500 packets a second
	customer := b.kiosk.Customers[0]
	if err := b.agent.ConnectAll(ctx, []string{customer.MAC.String()}, plenty); err != nil {
		return nil, err
	}
	sink, err := b.kiosk.Server.Sink("udp4", port)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watched{sink: sink, end: cancel, sent: make(chan uint64, 1)}
	go func() {
		sent, err := customer.Blast(ctx, netip.AddrPortFrom(b.kiosk.Server.Addr4, port), bitsPerSecond, packet)
		w.err = err
		w.sent <- sent
	}()
	return w, nil
}

// stop returns how many packets were sent, and how many have arrived.
func (w *watched) stop() (sent, arrived uint64, err error) {
	w.end()
	sent = <-w.sent
	const grace, look = 2 * time.Second, 10 * time.Millisecond
	for deadline := time.Now().Add(grace); ; time.Sleep(look) {
		if arrived = w.sink.Read().Packets; arrived >= sent || time.Now().After(deadline) {
			return sent, arrived, w.err
		}
	}
}

func (w *watched) close() error {
	w.end()
	return w.sink.Close()
}

// lost counts the purchases that were answered and are not there when the database is
// read again by another process.
func (b *bed) lost(ctx context.Context, answered []int64) (lost int, err error) {
	if err := errors.Join(b.agent.Kill(), b.agent.Start()); err != nil {
		return 0, err
	}
	var all []struct{ ID int64 }
	if err := b.api.Call(ctx, "GET", "/sessions", nil, &all); err != nil {
		return 0, err
	}
	there := make(map[int64]bool)
	for _, s := range all {
		there[s.ID] = true
	}
	for _, id := range answered {
		if !there[id] {
			lost++
		}
	}
	if len(answered) == 0 {
		err = fmt.Errorf("none of the purchases was answered")
	}
	return lost, err
}
