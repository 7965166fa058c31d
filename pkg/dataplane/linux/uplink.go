// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"math/bits"
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

func uplinkSpeeds(u dataplane.Uplink) (by [directions]speed, err error) {
	if by[download], err = newSpeed("uplink.down_mbps", u.DownBPS); err != nil {
		return by, err
	}
	by[upload], err = newSpeed("uplink.up_mbps", u.UpBPS)
	return by, err
}

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

// slotShift is the least with which the slots of the clock reach over the depth of
// the bucket and a super-packet, and a super-packet of 64 KB over 16 of them.
func slotShift(s speed) uint64 {
	const superPacket, reach = 1 << 16, 16
	packet := superPacket * s.rateNsPerByte >> rateShift
	return uint64(bits.Len64(max(3*s.burstNs/uint64(len(hotspotUplink{}.Work)), packet/reach)))
}
