// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"slices"
	"strings"
)

// Packet is what is known of one that is forwarded. Rules that ask for more may match it, or
// not.
type Packet struct {
	Family   uint8 // FamilyIPv4 or FamilyIPv6
	In, Out  string
	InIndex  int
	OutIndex int
	Reply    bool // of a connection that was answered; else the first of a new one
}

// match says whether a rule is one of a packet's.
type match int

const (
	no match = iota
	maybe
	yes
)

// outcome is what becomes of a packet in a chain.
type outcome int

const (
	falls   outcome = iota // past its end, or to its caller
	accepts                // perhaps
	drops                  // for certain
)

// maxDepth is more than the kernel lets chains jump (NFT_JUMP_STACK_SIZE).
const maxDepth = 32

// Drops returns the chain that drops a forwarded packet whatever else is in it, "" where
// none does.
func (r *Ruleset) Drops(p Packet) (by string, err error) {
	for _, c := range r.base(p.Family, Forward) {
		out, err := r.walk(c, p, 0)
		if err != nil {
			return "", err
		}
		if out == drops || out == falls && c.policy == policyDrop {
			return c.String(), nil
		}
	}
	return "", nil
}

// base returns the base chains of a hook that see a family, in a stable order.
func (r *Ruleset) base(family uint8, hook int) (list []*chain) {
	for _, c := range r.chains {
		if c.hook == hook && (c.family == family || c.family == familyInet) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *chain) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// String names a chain as nft does in its commands.
func (c *chain) String() string {
	families := map[uint8]string{familyInet: "inet", FamilyIPv4: "ip", FamilyIPv6: "ip6"}
	return fmt.Sprintf("%s %s %s", families[c.family], c.table, c.name)
}

func (r *Ruleset) walk(c *chain, p Packet, depth int) (outcome, error) {
	if c == nil || depth > maxDepth {
		return accepts, nil // what is not understood is not said to drop
	}
	for _, list := range c.rules {
		out, ended, err := r.apply(list, c, p, depth)
		if err != nil || ended {
			return out, err
		}
	}
	return falls, nil
}

// apply is one rule of walk; ended: the chain goes no further.
func (r *Ruleset) apply(list rule, c *chain, p Packet, depth int) (out outcome, ended bool, err error) {
	e := evaluation{packet: p, registers: map[uint32][]byte{}, matches: yes, set: func(name string) ([]element, error) {
		return r.elements(setKey{c.family, c.table, name})
	}}
	if err := e.run(list); err != nil || e.matches == no {
		return falls, false, err
	}
	certain := e.matches == yes
	switch e.verdict {
	case verdictNone:
		return falls, false, nil
	case verdictAccept, verdictUnknown:
		return accepts, true, nil
	case verdictDrop:
		return drops, certain, nil
	case verdictReturn:
		return falls, certain, nil
	}
	out, err = r.walk(r.chains[chainKey{c.family, c.table, e.chain}], p, depth+1)
	switch {
	case err != nil || out == accepts:
		return out, true, err
	case out == drops || e.verdict == verdictGoto:
		return out, certain, nil
	}
	return falls, false, nil
}

// Translates reports whether any rule translates the sources of packets of a family, and
// whether any does their destinations.
func (r *Ruleset) Translates(family uint8) (sources, destinations bool) {
	for _, c := range r.chains {
		if c.family != family && c.family != familyInet {
			continue
		}
		for _, list := range c.rules {
			for _, e := range list {
				s, d := e.translates()
				sources, destinations = sources || s, destinations || d
			}
		}
	}
	return sources, destinations
}

func (e expression) translates() (source, destination bool) {
	const natType, natSource, targetName = 1, 0, 1
	switch e.name {
	case "masq":
		return true, false
	case "redir", "tproxy":
		return false, true
	case "nat":
		return number(e.data[natType]) == natSource, number(e.data[natType]) != natSource
	case "target":
		name := text(e.data[targetName])
		return slices.Contains([]string{"MASQUERADE", "SNAT", "NETMAP"}, name), slices.Contains([]string{"DNAT", "REDIRECT", "TPROXY", "NETMAP"}, name)
	}
	return false, false
}
