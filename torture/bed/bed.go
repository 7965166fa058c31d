// SPDX-License-Identifier: Apache-2.0

// Package bed is where the agent is hurt: a kiosk with customers, whose router runs
// the real daemon, and traffic whose every packet is numbered.
package bed

import (
	"errors"
	"runtime"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// Bed is a kiosk whose router runs the agent.
type Bed struct {
	Kiosk *lab.Kiosk
	Agent *rig.Agent
	API   *rig.API

	closers []func() error
}

// Open builds the kiosk, and starts the agent with lines of configuration. The caller
// closes it.
func Open(o report.Options, kiosk lab.KioskConfig, config ...string) (*Bed, error) {
	b, err := New(o, kiosk, config...)
	if err != nil {
		return nil, err
	}
	if err := b.Agent.Start(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// New is Open for who starts the agent.
func New(o report.Options, kiosk lab.KioskConfig, config ...string) (b *Bed, err error) {
	b = &Bed{}
	defer func() {
		if err != nil {
			b, err = nil, errors.Join(err, b.Close())
		}
	}()
	// Senders and sinks must not wait for a thread that the machine keeps waiting.
	threads := runtime.GOMAXPROCS(16)
	b.OnClose(func() error { runtime.GOMAXPROCS(threads); return nil })
	l, err := lab.New("hs-hurt")
	if err != nil {
		return b, err
	}
	b.OnClose(l.Close)
	if b.Kiosk, err = l.Kiosk(kiosk); err != nil {
		return b, err
	}
	if b.Agent, err = rig.New(b.Kiosk, o.Agent, config...); err != nil {
		return b, err
	}
	b.OnClose(b.Agent.Close)
	b.API = b.Agent.API()
	b.OnClose(func() error { b.API.Close(); return nil })
	return b, nil
}

// OnClose has Close do something, before all that was asked for earlier.
func (b *Bed) OnClose(f func() error) { b.closers = append(b.closers, f) }

// Close ends the agent and removes everything.
func (b *Bed) Close() (err error) {
	for _, f := range slices.Backward(b.closers) {
		err = errors.Join(err, f())
	}
	return err
}
