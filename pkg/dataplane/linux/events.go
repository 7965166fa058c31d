// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// eventBacklog is how many events wait for a slow consumer here. More wait in the
// kernel's ring; when that is full too, the kernel tells the end with the next
// packet it drops, and a reading of the counters finds it anyway.
const eventBacklog = 256

// Events returns the channel of the kernel's events. Close closes it.
func (d *Dataplane) Events() <-chan dataplane.Event { return d.events }

func (d *Dataplane) readEvents() {
	defer close(d.events)
	for {
		record, err := d.ring.Read()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			d.opts.Log.Error("kernel events stopped; the meter's readings go on", "error", err)
			return
		}
		var wire bpf.HotspotEvent
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &wire); err != nil {
			d.opts.Log.Error("kernel event of an unknown shape", "bytes", len(record.RawSample), "error", err)
			continue
		}
		select {
		case d.events <- bpf.EventFromWire(&wire):
		case <-d.closing:
			return
		}
	}
}
