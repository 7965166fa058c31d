// SPDX-License-Identifier: Apache-2.0

// Package flow sends numbered packets through a kiosk during a fault and reports which
// arrived.
package flow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// MTU is the length of the longest IP packets.
const MTU = 1500

const some = 100 // packets that prove progress

// Config describes a flow.
type Config struct {
	From, To      *lab.Host
	Port          uint16
	BitsPerSecond float64
	IPBytes       int // of a packet
}

// Flow is a stream of numbered packets. It belongs to one goroutine.
type Flow struct {
	sink *lab.Sink
	stop context.CancelFunc
	done chan struct{} // sent and err are there
	sent uint64
	err  error
}

// Start sends packets in the background. The caller ends and closes the flow.
func Start(ctx context.Context, c Config) (*Flow, error) {
	sink, err := c.To.Sink("udp4", c.Port)
	if err != nil {
		return nil, err
	}
	sink.Keep()
	ctx, stop := context.WithCancel(ctx)
	f := &Flow{sink: sink, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.sent, f.err = c.From.Blast(ctx, netip.AddrPortFrom(c.To.Addr4, c.Port), c.BitsPerSecond, c.IPBytes)
	}()
	return f, nil
}

// Arrived is how many packets arrived up to now.
func (f *Flow) Arrived() uint64 { return f.sink.Read().Packets }

// Await waits until so many packets have arrived in all.
func (f *Flow) Await(ctx context.Context, packets uint64) error {
	return wait.Until(ctx, fmt.Sprintf("%d packets", packets), func() (bool, error) { return f.Arrived() >= packets, nil })
}

// AwaitProgress waits until more packets arrive on each flow.
func AwaitProgress(ctx context.Context, flows ...*Flow) error {
	for _, f := range flows {
		if err := f.Await(ctx, f.Arrived()+some); err != nil {
			return err
		}
	}
	return nil
}

// End stops the sender and waits for the last packet: what has not come in some time was
// dropped. A second call does nothing.
func (f *Flow) End() error {
	f.stop()
	<-f.done
	for stopped := lab.Boottime(); f.Arrived() < f.sent && lab.Boottime()-max(stopped, f.sink.Read().Last) < lab.Silence; {
		time.Sleep(time.Millisecond)
	}
	return f.err
}

// Lost ends the flow and returns how many packets were sent, and how many of them did
// not arrive.
func (f *Flow) Lost() (sent, lost int64, err error) {
	err = f.End()
	return int64(f.sent), int64(f.sent) - int64(f.Arrived()), err
}

// LongestPause is the longest time between two packets that arrived.
func (f *Flow) LongestPause() (longest time.Duration) {
	stamps := f.sink.Stamps()
	for i := 1; i < len(stamps); i++ {
		longest = max(longest, stamps[i].At-stamps[i-1].At)
	}
	return longest
}

// Close ends the flow and gives the port back.
func (f *Flow) Close() error {
	f.stop()
	<-f.done
	return errors.Join(f.err, f.sink.Close())
}
