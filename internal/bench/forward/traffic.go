// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// direction of a router's traffic.
type direction string

const (
	up   direction = "up"
	down direction = "down"
	both direction = "both ways"
)

// traffic is what a router can be sent, of one size of packet.
type traffic struct {
	router   *router
	up, down *lab.Spray
}

func newTraffic(r *router, ipBytes int) (*traffic, error) {
	var heads [2][][]byte
	for _, m := range r.crowd() {
		heads[0] = append(heads[0], r.kiosk.Up(m, ipBytes))
		heads[1] = append(heads[1], r.kiosk.Down(m, ipBytes))
	}
	payload := make([]byte, ipBytes-lab.UDPOverIPv4)
	t := &traffic{router: r}
	var err error
	if t.up, err = r.kiosk.Customers[0].Spray(lab.Uplink, heads[0], payload); err != nil {
		return nil, err
	}
	if t.down, err = r.kiosk.Server.Spray(lab.Uplink, heads[1], payload); err != nil {
		return nil, errors.Join(err, t.up.Close())
	}
	return t, nil
}

func (t *traffic) Close() error { return errors.Join(t.up.Close(), t.down.Close()) }

// flow is what became of the packets of one turn.
type flow struct {
	sent, forwarded uint64
	cpu, wall       time.Duration
}

// perPacket is the CPU time of sending and forwarding a packet, in ns.
func (f flow) perPacket() float64 { return float64(f.cpu) / float64(f.forwarded) }

// perSecond is the forwarded packets of a second.
func (f flow) perSecond() float64 { return float64(f.forwarded) / f.wall.Seconds() }

// run sends in a direction for a while. Each direction has a CPU, where there are two.
func (t *traffic) run(d direction, for_ time.Duration) (flow, error) {
	before, err := t.arrived(d)
	if err != nil {
		return flow{}, err
	}
	sprays := map[direction][]*lab.Spray{up: {t.up}, down: {t.down}, both: {t.up, t.down}}[d]
	var f flow
	var mu sync.Mutex
	var running sync.WaitGroup
	for i, spray := range sprays {
		running.Go(func() {
			done, sprayErr := spray.Run(i%runtime.NumCPU(), for_)
			mu.Lock()
			defer mu.Unlock()
			f.sent += done.Frames
			f.cpu += done.CPU
			f.wall = max(f.wall, done.Wall)
			err = errors.Join(err, sprayErr)
		})
	}
	running.Wait()
	after, countErr := t.arrived(d)
	f.forwarded = after - before
	if err = errors.Join(err, countErr); err == nil && f.forwarded == 0 {
		err = fmt.Errorf("%s: none of %d packets went through (%s)", t.router.subject, f.sent, d)
	}
	return f, err
}

// arrived is the frames that came to the far ends of a direction.
func (t *traffic) arrived(d direction) (frames uint64, err error) {
	ends := map[direction][]*lab.Host{
		up: {t.router.kiosk.Server}, down: {t.router.kiosk.Customers[0]},
		both: {t.router.kiosk.Server, t.router.kiosk.Customers[0]},
	}[d]
	for _, h := range ends {
		received, _, err := h.InterfaceCount(lab.Uplink)
		if err != nil {
			return 0, err
		}
		frames += received.Packets
	}
	return frames, nil
}
