// SPDX-License-Identifier: Apache-2.0

package links

import (
	"slices"
)

// Stack is two named interfaces of which one carries the other: a frame passes the hooks of
// both.
type Stack struct {
	Lower, Upper string
	// Redundant is the one whose every frame the other judges as well: a bridge's port, a
	// bond's slave, a VLAN or macvlan on a named parent. "" where neither sees all.
	Redundant string
}

// Stacks finds the named interfaces of which one carries another, directly or through
// interfaces between them. Both ends of a veth pair do not: what enters one leaves the other.
func (v *Snapshot) Stacks(names []string) (found []Stack) {
	if len(names) < 2 {
		return nil
	}
	above := v.above()
	for _, upper := range names {
		for _, lower := range names {
			from, to := v.ByName[lower], v.ByName[upper]
			if from == nil || to == nil || from == to {
				continue
			}
			if by := way(above, from.Attrs().Index, to.Attrs().Index, map[int]bool{}); by != nil {
				found = append(found, Stack{lower, upper, redundant(lower, upper, by)})
			}
		}
	}
	return found
}

// step is how one interface carries the next: as a member of its master, or as the parent
// of a virtual one.
type step int

const (
	member step = iota
	parent
)

// edge leads to an interface that is directly on another.
type edge struct {
	to int // index
	as step
}

// above is what is directly on each interface, by index.
func (v *Snapshot) above() map[int][]edge {
	on := make(map[int][]edge)
	for index, l := range v.ByIndex {
		a := l.Attrs()
		if master := v.ByIndex[a.MasterIndex]; master != nil && master.Type() != "vrf" { // a VRF is a routing table
			on[index] = append(on[index], edge{a.MasterIndex, member})
		}
		// IFLA_LINK of another namespace counts there.
		if a.ParentIndex != 0 && a.NetNsID < 0 && slices.Contains(virtual, l.Type()) {
			on[a.ParentIndex] = append(on[a.ParentIndex], edge{index, parent})
		}
	}
	return on
}

// way returns the steps that lead from an interface up to another, nil for none. A loop
// cannot be made, but be read halfway through a change.
func way(above map[int][]edge, from, to int, seen map[int]bool) []step {
	seen[from] = true
	for _, e := range above[from] {
		if e.to == to {
			return []step{e.as}
		}
		if seen[e.to] {
			continue
		}
		if rest := way(above, e.to, to, seen); rest != nil {
			return append(rest, e.as)
		}
	}
	return nil
}

// virtual are the kinds that pass the frames of a parent, itself on the hooks, with the
// clients' MACs. IFLA_LINK of a veth is its peer; tunnels wrap frames into packets of their own.
var virtual = []string{"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "dsa", "virt_wifi"}

// redundant: a master sees the frames of all members, and a parent those of all that is on
// it. Of a mixed way neither end sees all of the other.
func redundant(lower, upper string, by []step) string {
	switch {
	case !slices.Contains(by, parent):
		return lower
	case !slices.Contains(by, member):
		return upper
	}
	return ""
}
