// SPDX-License-Identifier: Apache-2.0

package linux

// pool hands out the indexes of an array map. One that packets in flight may still
// know is held back until a grace period has passed.
type indexAllocator struct {
	size        uint32
	next        uint32   // all from here on were never used
	free        []uint32 // used and free again
	quarantined []quarantinedIndex
}

type quarantinedIndex struct {
	index uint32
	until gracePeriod
}

// newIndexAllocator makes a pool of size indexes of which some are in use.
func newIndexAllocator(size uint32, used map[uint32]bool) indexAllocator {
	p := indexAllocator{size: size}
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
func (p *indexAllocator) alloc(g *rcuGrace) (index uint32, wait gracePeriod, ok bool) {
	for len(p.quarantined) > 0 && g.elapsed(p.quarantined[0].until) {
		p.free = append(p.free, p.quarantined[0].index)
		p.quarantined = p.quarantined[1:]
	}
	switch {
	case len(p.free) > 0:
		index = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		return index, 0, true
	case p.next < p.size:
		p.next++
		return p.next - 1, 0, true
	case len(p.quarantined) > 0:
		return 0, p.quarantined[0].until, false
	}
	return 0, 0, false
}

// put gives an index back, to be taken again from a grace period on.
func (p *indexAllocator) release(index uint32, until gracePeriod) {
	p.quarantined = append(p.quarantined, quarantinedIndex{index, until})
}
