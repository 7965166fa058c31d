// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"bytes"
	"math/rand/v2"
	"slices"
)

// macs is where a frame has them.
const macs = 12

// Random returns frames without end, made of those with a name: with bytes changed, cut
// off, made longer, or tagged. None of them is of a device that is connected.
func (d *Device) Random(seed uint64) func() []byte {
	known := slices.Concat(d.Forwarded(), d.Attacks())
	random := rand.New(rand.NewPCG(seed, 0))
	return func() []byte {
		for {
			frame := slices.Clone(known[random.IntN(len(known))].Frame)
			if frame = spoil(random, frame); !bytes.Equal(frame[6:macs], d.Paid) {
				return frame
			}
		}
	}
}

// longest is what a packet socket takes at an MTU of 1500, of a frame without a tag.
const longest = 1514

func spoil(random *rand.Rand, frame []byte) []byte {
	frame = alter(random, frame)
	return frame[:min(len(frame), longest)]
}

func alter(random *rand.Rand, frame []byte) []byte {
	for range random.IntN(4) {
		at := random.IntN(min(len(frame), 90))
		frame[at] = byte(random.Uint32())
	}
	switch random.IntN(6) {
	case 0:
		return frame[:14+random.IntN(len(frame)-13)]
	case 1:
		return append(frame, make([]byte, random.IntN(1500-min(1400, len(frame))))...)
	case 2:
		tag := join(word(typeVLAN), word(random.IntN(2)*random.IntN(1<<16)))
		return slices.Insert(frame, macs, tag...)
	}
	return frame
}
