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

// probe sends packets through the router to the server and waits for them.
type probe struct {
	out []net.Conn // one from each customer
	in  *net.UDPConn
}

func newProbe(ctx context.Context, from []*lab.Host, to *lab.Host) (p *probe, err error) {
	const port = 7007
	at := fmt.Sprintf("%s:%d", to.Addr4, port)
	p = &probe{}
	if p.in, err = to.ListenPacket(at); err != nil {
		return nil, err
	}
	for _, customer := range from {
		out, err := customer.Dial(ctx, "udp", at)
		if err != nil {
			p.close()
			return nil, err
		}
		p.out = append(p.out, out)
	}
	return p, nil
}

func (p *probe) close() {
	for _, out := range p.out {
		_ = out.Close()
	}
	_ = p.in.Close()
}

// pass fails when a customer's packet does not arrive.
func (p *probe) pass(customer int) error {
	if _, err := p.out[customer].Write([]byte("passes?")); err != nil {
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

// oneByOne has customers come and go, one after the other. A connect lasts until the
// customer's first packet has arrived at the server. A customer that
// connects has been disconnected for some time, as people are: the kernel has freed its
// old account.
func (b *fixture) oneByOne(ctx context.Context, times int) (connects, disconnects latencies, err error) {
	customers := b.kiosk.Customers
	for _, customer := range customers {
		if err := b.api.buy(ctx, plenty(customer.MAC.String())); err != nil {
			return nil, nil, err
		}
	}
	p, err := newProbe(ctx, customers, b.kiosk.Server)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	for n := range times + len(customers) {
		customer := n % len(customers)
		device := customers[customer].MAC.String()
		if n == len(customers) { // caches, connections and neighbours are warm
			connects, disconnects = nil, nil
		}
		err := connects.timed(func() error {
			if err := b.api.connect(ctx, device); err != nil {
				return err
			}
			return p.pass(customer)
		})
		if err == nil {
			err = disconnects.timed(func() error { return b.api.disconnect(ctx, device) })
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return connects, disconnects, nil
}
