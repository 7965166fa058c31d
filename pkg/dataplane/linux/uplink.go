// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"sync/atomic"
)

// writeUplink tells the programs, which may run already.
func (d *Dataplane) writeUplink() error {
	speeds, err := uplinkSpeeds(d.opts.Uplink)
	if err != nil {
		return err
	}
	uplinks, err := mmap[hotspotUplink](d.maps.Uplinks)
	if err != nil {
		return err
	}
	defer uplinks.close()
	for dir, s := range speeds {
		l := &uplinks.at[dir]
		atomic.StoreUint64(&l.SlotShift, slotShift(s))
		atomic.StoreUint64(&l.Speed.BitPerS, s.bitPerS)
		atomic.StoreUint64(&l.Speed.BurstNs, s.burstNs)
		atomic.StoreUint64(&l.Speed.RateNsPerByte, s.rateNsPerByte)
	}
	return nil
}
