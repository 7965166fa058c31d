// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// eventBacklog is how many events wait for a slow consumer here. More wait in the
// kernel's ring; when that is full too, the kernel notifies of the end with the next
// packet it drops, and a reading of the counters finds it anyway.
const eventBacklog = 256

// Events returns the channel of the events that end accounts. Close closes it.
func (d *Dataplane) Events() <-chan dataplane.Event { return d.events }

// readEvents delivers the kernel's events until the ring is closed.
func readEvents(ring *ringbuf.Reader, events, answered chan<- dataplane.Event, closing <-chan struct{}, log *slog.Logger) {
	defer close(events)
	for {
		record, err := ring.Read()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			log.Error("ring buffer not readable, kernel events stopped; counters are read at checkpoints", "error", err)
			return
		}
		var wire bpf.HotspotEvent
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &wire); err != nil {
			log.Error("kernel event of an unknown shape", "bytes", len(record.RawSample), "error", err)
			continue
		}
		event := bpf.EventFromWire(&wire)
		if event.Kind == dataplane.Answered {
			select {
			case answered <- event:
			default:
			}
			continue
		}
		select {
		case events <- event:
		case <-closing:
			return
		}
	}
}
