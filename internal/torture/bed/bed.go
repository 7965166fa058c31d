// SPDX-License-Identifier: Apache-2.0

// Package bed is where the agent is hurt: a kiosk with customers, whose router runs
// the real daemon, and traffic whose every packet is numbered.
package bed

import (
	"errors"
	"runtime"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/report"
)

// Bed is a kiosk whose router runs the agent.
type Bed struct {
	Kiosk *lab.Kiosk
	Agent *rig.Agent
	API   *rig.API

	threads int // of this process before
}

// Open builds the kiosk, and starts the agent with lines of configuration. The caller
// closes it.
func Open(o report.Options, kiosk lab.KioskConfig, config ...string) (b *Bed, err error) {
	l, err := lab.New("hs-hurt")
	if err != nil {
		return nil, err
	}
	// Senders and sinks must not wait for a thread that the machine keeps waiting.
	b = &Bed{threads: runtime.GOMAXPROCS(16)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(), l.Close())
		}
	}()
	if b.Kiosk, err = l.Kiosk(kiosk); err != nil {
		return nil, err
	}
	if b.Agent, err = rig.New(b.Kiosk, o.Agent, config...); err != nil {
		return nil, err
	}
	b.API = b.Agent.API()
	return b, b.Agent.Start()
}

// Close ends the agent and removes everything.
func (b *Bed) Close() error { return errors.Join(b.close(), b.Kiosk.Close()) }

func (b *Bed) close() error {
	runtime.GOMAXPROCS(b.threads)
	if b.Agent == nil {
		return nil
	}
	b.API.Close()
	return b.Agent.Close()
}
