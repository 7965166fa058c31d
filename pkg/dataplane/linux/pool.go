// SPDX-License-Identifier: Apache-2.0

package linux

// pool hands out the indexes of an array map. One that packets in flight may still
// know is held back until a grace period has passed.
type pool struct {
	size uint32
	next uint32   // all from here on were never used
	free []uint32 // used and free again
	held []heldIndex
}

type heldIndex struct {
	index uint32
	until ticket
}

// newPool makes a pool of size indexes of which some are in use.
func newPool(size uint32, used map[uint32]bool) pool {
	p := pool{size: size}
	for index := range used {
		p.next = max(p.next, index+1)
	}
	for index := range p.next {
		if !used[index] {
			p.free = append(p.free, index)
		}
	}
	return p
}

// take returns an index. When all that are not in use are held back, it says until
// when, and when there are none it returns false.
func (p *pool) take(g *grace) (index uint32, wait ticket, ok bool) {
	for len(p.held) > 0 && g.passed(p.held[0].until) {
		p.free = append(p.free, p.held[0].index)
		p.held = p.held[1:]
	}
	switch {
	case len(p.free) > 0:
		index = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		return index, 0, true
	case p.next < p.size:
		p.next++
		return p.next - 1, 0, true
	case len(p.held) > 0:
		return 0, p.held[0].until, false
	}
	return 0, 0, false
}

// put gives an index back, to be taken again from a grace period on.
func (p *pool) put(index uint32, until ticket) {
	p.held = append(p.held, heldIndex{index, until})
}
