// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"math/bits"
	"sync/atomic"
)

// Uplink is a total that all clients together are held to, in bit/s of IP packets;
// 0 is no total. They share it by need: whoever wants less than an even share gets
// all it wants, the others get even shares of the rest (max-min fairness, Bertsekas
// and Gallager, Data Networks, 6.5.2). A client's own speed stays its ceiling.
type Uplink struct {
	DownBPS uint64 // towards the clients
	UpBPS   uint64 // from the clients
}

func (u Uplink) speeds() (by [directions]speed, err error) {
	if by[download], err = newSpeed("uplink.down_mbps", u.DownBPS); err != nil {
		return by, err
	}
	by[upload], err = newSpeed("uplink.up_mbps", u.UpBPS)
	return by, err
}

// writeUplink tells the programs, which may run already.
func (d *Dataplane) writeUplink() error {
	speeds, err := d.opts.Uplink.speeds()
	if err != nil {
		return err
	}
	uplinks, err := share[hotspotUplink](d.state.Uplinks)
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
