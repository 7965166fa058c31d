// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// latencies are how long one thing took, many times.
type latencies []time.Duration

// at is the given percentile in milliseconds.
func (l latencies) at(percent float64) float64 {
	slices.Sort(l)
	index := min(int(float64(len(l))*percent/100), len(l)-1)
	return float64(l[index].Nanoseconds()) / 1e6
}

// timed adds how long do took.
func (l *latencies) timed(do func() error) error {
	began := time.Now()
	err := do()
	*l = append(*l, time.Since(began))
	return err
}

// probe sends a packet through the router and waits for it.
type probe struct {
	out net.Conn
	in  *net.UDPConn
}

func newProbe(ctx context.Context, from, to *lab.Host) (*probe, error) {
	const port = 7007
	in, err := to.ListenPacket(fmt.Sprintf("%s:%d", to.Addr4, port))
	if err != nil {
		return nil, err
	}
	out, err := from.Dial(ctx, "udp", fmt.Sprintf("%s:%d", to.Addr4, port))
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	return &probe{out: out, in: in}, nil
}

func (p *probe) close() {
	_ = p.out.Close()
	_ = p.in.Close()
}

// pass fails when the packet does not arrive.
func (p *probe) pass() error {
	if _, err := p.out.Write([]byte("passes?")); err != nil {
		return err
	}
	if err := p.in.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	var buffer [64]byte
	if _, _, err := p.in.ReadFromUDP(buffer[:]); err != nil {
		return fmt.Errorf("the first packet after a connect did not pass: %w", err)
	}
	return nil
}

// oneByOne connects and disconnects a customer again and again, as one portal does.
// A connect lasts until the customer's first packet has arrived at the server.
func (b *bed) oneByOne(ctx context.Context, times int) (connects, disconnects latencies, err error) {
	customer := b.kiosk.Customers[0]
	device := customer.MAC.String()
	if err := b.api.buy(ctx, plenty(device)); err != nil {
		return nil, nil, err
	}
	p, err := newProbe(ctx, customer, b.kiosk.Server)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	begin := func() error {
		if err := b.api.connect(ctx, device); err != nil {
			return err
		}
		return p.pass()
	}
	for range times {
		if err := connects.timed(begin); err != nil {
			return nil, nil, err
		}
		if err := disconnects.timed(func() error { return b.api.disconnect(ctx, device) }); err != nil {
			return nil, nil, err
		}
	}
	const warm = 20 // caches, connections, neighbours
	return connects[min(warm, times/2):], disconnects[min(warm, times/2):], nil
}
