// SPDX-License-Identifier: Apache-2.0

// Package flow sends numbered packets through a kiosk while it is hurt, and tells which
// arrived.
package flow

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// MTU is the length of the IP packets.
const MTU = 1500

const (
	patience = 30 * time.Second
	look     = 5 * time.Millisecond
	some     = 100 // packets that say that traffic goes on
)

// Flow is a stream of numbered packets. It belongs to one goroutine.
type Flow struct {
	sink *lab.Sink
	stop context.CancelFunc
	done chan struct{} // sent and err are there
	sent uint64
	err  error
}

// Start sends packets from a host to a port of another, in the background.
// The caller ends and closes it.
func Start(ctx context.Context, from, to *lab.Host, port uint16, bitsPerSecond float64) (*Flow, error) {
	sink, err := to.Sink("udp4", port)
	if err != nil {
		return nil, err
	}
	sink.Keep()
	ctx, stop := context.WithCancel(ctx)
	f := &Flow{sink: sink, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.sent, f.err = from.Blast(ctx, netip.AddrPortFrom(to.Addr4, port), bitsPerSecond, MTU)
	}()
	return f, nil
}

// GoesOn waits until more packets arrive.
func (f *Flow) GoesOn() error {
	from := f.sink.Read().Packets
	return Until("traffic", func() bool { return f.sink.Read().Packets > from+some })
}

// End stops the sender and waits for the last packet. A second call does nothing.
func (f *Flow) End() error {
	f.stop()
	<-f.done
	if f.err != nil {
		return f.err
	}
	return Until("the last packet", func() bool { return lab.Boottime()-f.sink.Read().Last > lab.Silence })
}

// Lost returns how many packets were sent, and how many of them did not arrive, once it
// has ended.
func (f *Flow) Lost() (sent, lost int64) {
	return int64(f.sent), int64(f.sent) - int64(f.sink.Read().Packets)
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
	return f.sink.Close()
}

// Until waits for a condition.
func Until(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(look) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for: %s", patience, what)
		}
	}
	return nil
}
