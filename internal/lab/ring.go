// SPDX-License-Identifier: Apache-2.0

package lab

import "time"

// ring keeps packets in the order they came, without allocating.
type ring struct {
	memory []byte
	head   int // in memory: where the next packet goes
	slots  []slot
	first  int // in slots: the oldest
	count  int
}

// slot is a packet's place in the memory.
type slot struct {
	due    time.Duration
	at, of int // bytes
}

func newRing(bytes, packets int) *ring {
	return &ring{memory: make([]byte, bytes), slots: make([]slot, packets)}
}

// room is where the next packet of any size can be put, or nil.
func (r *ring) room() []byte {
	if r.count == len(r.slots) {
		return nil
	}
	tail := 0
	if r.count == 0 {
		r.head = 0
	} else {
		tail = r.slots[r.first].at
	}
	switch {
	case r.head < tail:
		if tail-r.head <= maxPacket { // they must not meet
			return nil
		}
	case len(r.memory)-r.head < maxPacket:
		if tail <= maxPacket {
			return nil
		}
		r.head = 0
	}
	return r.memory[r.head : r.head+maxPacket]
}

// add keeps the packet that was put into the room.
func (r *ring) add(size int, due time.Duration) {
	r.slots[(r.first+r.count)%len(r.slots)] = slot{due: due, at: r.head, of: size}
	r.count++
	r.head += size
}

// oldest is the packet that is due first, or nil.
func (r *ring) oldest() *slot {
	if r.count == 0 {
		return nil
	}
	return &r.slots[r.first]
}

func (r *ring) bytes(s *slot) []byte { return r.memory[s.at : s.at+s.of] }

func (r *ring) remove() {
	r.first = (r.first + 1) % len(r.slots)
	r.count--
}
