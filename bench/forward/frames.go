// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// frames is the traffic of all emulated customers in turn, without super-packets.
type frames struct {
	router   *router
	up, down *lab.FrameGenerator
}

func newFrames(r *router, ipBytes int) (traffic, error) {
	var heads [2][][]byte
	for _, m := range r.emulated() {
		heads[0] = append(heads[0], r.kiosk.Up(m, ipBytes))
		heads[1] = append(heads[1], r.kiosk.Down(m, ipBytes))
	}
	payload := make([]byte, ipBytes-lab.UDPOverIPv4)
	t := &frames{router: r}
	var err error
	if t.up, err = r.kiosk.Customers[0].GenerateFrames(lab.Uplink, heads[0], payload); err != nil {
		return nil, err
	}
	if t.down, err = r.kiosk.Server.GenerateFrames(lab.Uplink, heads[1], payload); err != nil {
		return nil, errors.Join(err, t.up.Close())
	}
	return t, nil
}

func (t *frames) Close() error { return errors.Join(t.up.Close(), t.down.Close()) }

// run has a CPU for each direction, where there are two.
func (t *frames) run(d direction, during time.Duration) (f flow, err error) {
	sprays := map[direction][]*lab.FrameGenerator{up: {t.up}, down: {t.down}, both: {t.up, t.down}}[d]
	before, err := t.arrived(d)
	if err != nil {
		return flow{}, err
	}
	deferred, err := deferredCPU()
	if err != nil {
		return flow{}, err
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	for i, generator := range sprays {
		running.Go(func() {
			done, failed := generator.Run(i%runtime.NumCPU(), during)
			mu.Lock()
			defer mu.Unlock()
			f.sent += done.Frames
			f.cpu += done.CPU
			f.wall = max(f.wall, done.Wall)
			err = errors.Join(err, failed)
		})
	}
	running.Wait()
	after, countErr := t.arrived(d)
	deferredToo, cpuErr := deferredCPU()
	if err = errors.Join(err, countErr, cpuErr); err != nil {
		return flow{}, err
	}
	f.forwarded = after - before
	if t.router.subject == sender {
		f.forwarded = f.sent
	}
	f.cpu += deferredToo - deferred
	return f.checked(t.router.subject, d)
}

// arrived is the frames that came to the far ends of a direction.
func (t *frames) arrived(d direction) (frames uint64, err error) {
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
