// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// Beat is how often a pump sends.
const Beat = 2 * time.Millisecond

// Pump sends numbered UDP packets on many flows, all from one goroutine: a lab has
// few CPUs. Add is called before Start.
type Pump struct {
	flows  []*Flow
	stop   context.CancelFunc
	ending sync.WaitGroup
}

// Flow is numbered packets from one host to a sink on another.
type Flow struct {
	Sink *lab.Sink

	conn    net.Conn
	payload []byte
	perBeat int
	every   int // beats
	sent    atomic.Uint64
}

// FlowConfig describes a flow.
type FlowConfig struct {
	From, To *lab.Host
	Port     uint16
	PerBeat  int // packets
	Every    int // beats
	IPBytes  int // of a packet; more than its headers and its number, 36
}

// Add adds a flow.
func (p *Pump) Add(c FlowConfig) (*Flow, error) {
	sink, err := c.To.Sink("udp4", c.Port)
	if err != nil {
		return nil, fmt.Errorf("sink of %s: %w", c.To.Name, err)
	}
	conn, err := c.From.Dial(context.Background(), "udp", netip.AddrPortFrom(c.To.Addr4, c.Port).String())
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	f := &Flow{Sink: sink, conn: conn, payload: make([]byte, c.IPBytes-lab.UDPOverIPv4), perBeat: c.PerBeat, every: c.Every}
	p.flows = append(p.flows, f)
	return f, nil
}

// Start sends until Stop.
func (p *Pump) Start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.ending.Go(func() {
		beat := time.NewTicker(Beat)
		defer beat.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			for _, f := range p.flows {
				if n%f.every == 0 {
					f.send()
				}
			}
			<-beat.C
		}
	})
}

// send takes a packet for sent when the kernel took it. It tells of an ICMP error on
// the next write, which it does not send: that one is written again.
func (f *Flow) send() {
	for range f.perBeat {
		binary.BigEndian.PutUint64(f.payload, f.sent.Load())
		for range 2 {
			if _, err := f.conn.Write(f.payload); err == nil {
				f.sent.Add(1)
				break
			}
		}
	}
}

// Stop ends the senders and waits until the last packets have arrived.
func (p *Pump) Stop() {
	p.stop()
	p.ending.Wait()
	for _, f := range p.flows {
		for lab.Boottime()-f.Sink.Read().Last < lab.Silence {
			time.Sleep(Beat)
		}
	}
}

// Close closes all sockets of a pump that has stopped, or was never started.
func (p *Pump) Close() error {
	var errs []error
	for _, f := range p.flows {
		errs = append(errs, f.conn.Close(), f.Sink.Close())
	}
	return errors.Join(errs...)
}

// Sent is how many packets were sent up to now.
func (f *Flow) Sent() uint64 { return f.sent.Load() }

// Arrived is how many of them arrived up to now.
func (f *Flow) Arrived() uint64 { return f.Sink.Read().Packets }

// Lost is how many did not arrive, of a pump that has stopped.
func (f *Flow) Lost() int64 { return int64(f.Sent()) - int64(f.Arrived()) }
