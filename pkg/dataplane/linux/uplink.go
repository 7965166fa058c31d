// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// writeUplink sets the total in the maps of programs that may run already.
func writeUplink(maps *pins.Maps, total dataplane.Uplink) error {
	speeds, err := bpf.UplinkSpeeds(total)
	if err != nil {
		return err
	}
	uplinks, err := tables.Mmap[bpf.HotspotUplink](maps.Uplinks)
	if err != nil {
		return err
	}
	defer uplinks.Close()
	for dir, s := range speeds {
		l := &uplinks.At[dir]
		atomic.StoreUint64(&l.SlotShift, bpf.SlotShift(s))
		atomic.StoreUint64(&l.Speed.BitPerS, s.BitPerS)
		atomic.StoreUint64(&l.Speed.BurstNs, s.BurstNs)
		atomic.StoreUint64(&l.Speed.RateNsPerByte, s.RateNsPerByte)
	}
	return nil
}
