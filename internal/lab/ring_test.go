// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The ring is a queue: what comes out is what went in, in order, however full it is.
func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bytes, packets = 4 * maxPacket, 64
		r := newRing(bytes, packets)
		var next, expected uint64
		for range rapid.IntRange(1, 500).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				if room := r.room(); room != nil {
					size := rapid.IntRange(16, maxPacket).Draw(t, "size")
					// The ends of a packet are where a neighbour would write first.
					binary.BigEndian.PutUint64(room[size-8:size], next)
					binary.BigEndian.PutUint64(room, next)
					r.add(size, time.Duration(next))
					next++
				} else if r.count == 0 {
					t.Fatal("no room in an empty ring")
				}
				continue
			}
			first := r.oldest()
			if (first == nil) != (next == expected) {
				t.Fatalf("oldest is %v after %d of %d", first, expected, next)
			}
			if first == nil {
				continue
			}
			got := r.bytes(first)
			head, end := binary.BigEndian.Uint64(got), binary.BigEndian.Uint64(got[len(got)-8:])
			if end != expected || head != expected || first.due != time.Duration(expected) {
				t.Fatalf("packet %d: %d ... %d due %d", expected, head, end, first.due)
			}
			r.remove()
			expected++
		}
	})
}
