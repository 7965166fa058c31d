// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"fmt"
	"time"
)

// direction of a router's traffic.
type direction string

const (
	up   direction = "up"
	down direction = "down"
	both direction = "both ways"
)

// traffic is what a router can be sent.
type traffic interface {
	// run sends in a direction for a while.
	run(d direction, during time.Duration) (flow, error)
	Close() error
}

// flow is what became of the packets of one turn.
type flow struct {
	sent, forwarded uint64
	cpu             time.Duration // of sending and forwarding
	wall            time.Duration
}

// perPacket is the CPU time of a packet, in ns.
func (f flow) perPacket() float64 { return float64(f.cpu) / float64(f.forwarded) }

// perSecond is the forwarded packets of a second.
func (f flow) perSecond() float64 { return float64(f.forwarded) / f.wall.Seconds() }

// checked fails where nothing came through: that is no measurement.
func (f flow) checked(subject string, d direction) (flow, error) {
	if f.forwarded == 0 {
		return f, fmt.Errorf("%s: none of %d packets went through (%s)", subject, f.sent, d)
	}
	return f, nil
}
