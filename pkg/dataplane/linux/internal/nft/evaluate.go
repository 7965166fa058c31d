// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// verdict is what a rule says of the packets that match it.
type verdict int

const (
	verdictNone verdict = iota
	verdictAccept
	verdictDrop
	verdictReturn
	verdictJump
	verdictGoto
	verdictUnknown // it depends on what is not known
)

// evaluation follows the expressions of one rule. A register without an entry has a value
// that is not known.
type evaluation struct {
	packet    Packet
	registers map[uint32][]byte
	matches   match
	verdict   verdict
	chain     string // of a jump or goto
	set       func(name string) ([]element, error)
}

// run stops at the first expression that does not match.
func (e *evaluation) run(list rule) (err error) {
	for _, x := range list {
		switch x.name {
		case "meta":
			e.load(x, e.meta)
		case "ct":
			e.load(x, e.connection)
		case "bitwise":
			e.bitwise(x)
		case "cmp":
			e.require(e.compare(x))
		case "lookup":
			err = e.lookup(x)
		case "immediate":
			e.immediate(x)
		case "match":
			e.require(e.extension(x))
		case "target":
			e.target(x)
		case "reject":
			e.verdict = verdictDrop
		case "queue":
			e.verdict = verdictUnknown
		case "counter", "log", "last", "objref", "notrack", "flow_offload":
		case "payload", "exthdr", "fib", "rt", "socket", "numgen", "hash", "osf", "xfrm", "tunnel", "byteorder":
			e.forget(x)
		default:
			e.forget(x)
			e.require(maybe)
		}
		if err != nil || e.matches == no {
			return err
		}
	}
	return nil
}

// forget makes the register that an expression writes unknown, whichever attribute has its
// number. Others may become so, too: then less is said for certain.
func (e *evaluation) forget(x expression) {
	for _, value := range x.data {
		delete(e.registers, number(value))
	}
}

func (e *evaluation) require(m match) { e.matches = min(e.matches, m) }

// load puts what is known of the packet into a register.
func (e *evaluation) load(x expression, known func(key uint32) []byte) {
	const destination, key = 1, 2
	register, set := x.data[destination]
	if !set { // it writes to the packet
		return
	}
	if value := known(number(x.data[key])); value != nil {
		e.registers[number(register)] = value
	} else {
		delete(e.registers, number(register))
	}
}

// meta: NFT_META_*.
func (e *evaluation) meta(key uint32) []byte {
	switch key {
	case 4:
		return binary.NativeEndian.AppendUint32(nil, uint32(e.packet.InIndex))
	case 5:
		return binary.NativeEndian.AppendUint32(nil, uint32(e.packet.OutIndex))
	case 6:
		return ifname(e.packet.In)
	case 7:
		return ifname(e.packet.Out)
	case 15:
		return []byte{e.packet.Family}
	}
	return nil
}

func ifname(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

// Bits of the state and the status of a connection (linux/netfilter/nf_conntrack_common.h);
// the match of xtables has the same.
const (
	stateEstablished = 1 << 1
	stateNew         = 1 << 3
	statusOfReply    = 1<<1 | 1<<2 | 1<<3 // seen reply, assured, confirmed; its destination is not translated
)

func (p Packet) state() uint32 {
	if p.Reply {
		return stateEstablished
	}
	return stateNew
}

func (p Packet) status() uint32 {
	if p.Reply {
		return statusOfReply
	}
	return 0
}

// connection: NFT_CT_*.
func (e *evaluation) connection(key uint32) []byte {
	switch key {
	case 0:
		return binary.NativeEndian.AppendUint32(nil, e.packet.state())
	case 2:
		return binary.NativeEndian.AppendUint32(nil, e.packet.status())
	}
	return nil
}

func (e *evaluation) bitwise(x expression) {
	const source, destination, mask, xor, operation = 1, 2, 4, 5, 6
	to := number(x.data[destination])
	from, known := e.registers[number(x.data[source])]
	and, err1 := nested(x.data[mask], dataValue)
	flip, err2 := nested(x.data[xor], dataValue)
	if !known || err1 != nil || err2 != nil || number(x.data[operation]) != 0 || len(and) > len(from) || len(and) != len(flip) || len(and) == 0 {
		delete(e.registers, to)
		return
	}
	value := make([]byte, len(and))
	for i := range and {
		value[i] = from[i]&and[i] ^ flip[i]
	}
	e.registers[to] = value
}

func (e *evaluation) compare(x expression) match {
	const source, operation, data, equal, differs = 1, 2, 3, 0, 1
	value, known := e.registers[number(x.data[source])]
	want, err := nested(x.data[data], dataValue)
	if !known || err != nil || len(want) > len(value) {
		return maybe
	}
	same := bytes.HasPrefix(value, want) // of a name a prefix: "eth*"
	switch number(x.data[operation]) {
	case equal:
		return matchOf(same)
	case differs:
		return matchOf(!same)
	}
	return maybe
}

func matchOf(is bool) match {
	if is {
		return yes
	}
	return no
}

// lookup of a known value: in a set, or in a map of verdicts. Intervals are left unknown.
func (e *evaluation) lookup(x expression) error {
	const set, source, destination, flags, inverted = 1, 2, 3, 5, 1
	value, known := e.registers[number(x.data[source])]
	_, isMap := x.data[destination]
	unknown := func() {
		if isMap {
			e.verdict = verdictUnknown
		}
		e.require(maybe)
	}
	if !known {
		unknown()
		return nil
	}
	list, err := e.set(text(x.data[set]))
	if err != nil {
		return err
	}
	found := false
	for _, one := range list {
		if one.interval || len(one.key) == 0 || len(one.key) > len(value) {
			unknown()
			return nil
		}
		if bytes.Equal(one.key, value[:len(one.key)]) {
			found = true
			if isMap {
				return e.take(one.verdict)
			}
		}
	}
	e.require(matchOf(found != (number(x.data[flags])&inverted != 0)))
	return nil
}

// immediate with a verdict; another one loads a value that is none of the packet's.
func (e *evaluation) immediate(x expression) {
	const destination, data = 1, 2
	if register := number(x.data[destination]); register != 0 {
		delete(e.registers, register)
		return
	}
	code, err := nested(x.data[data], dataVerdict)
	if err == nil {
		err = e.take(code)
	}
	if err != nil {
		e.verdict = verdictUnknown
	}
}

// take reads a verdict: NF_* and NFT_* codes.
func (e *evaluation) take(value []byte) error {
	all, err := attributesOf(value)
	if err != nil {
		return err
	}
	e.chain = text(all[verdictChain])
	switch int32(number(all[verdictCode])) {
	case 0:
		e.verdict = verdictDrop
	case 1:
		e.verdict = verdictAccept
	case -3:
		e.verdict = verdictJump
	case -4:
		e.verdict = verdictGoto
	case -5:
		e.verdict = verdictReturn
	case -1: // continue
	default:
		e.verdict = verdictUnknown
	}
	return nil
}

// extension is a match of xtables.
func (e *evaluation) extension(x expression) match {
	const name, info = 1, 3
	// struct xt_conntrack_mtinfo2 and 3 of linux/netfilter/xt_conntrack.h
	const flags, inverts, states, statuses, end = 146, 148, 150, 152, 154
	const byState, byStatus = 1 << 0, 1 << 6
	data := x.data[info]
	switch text(x.data[name]) {
	case "comment":
		return yes
	case "state":
		if len(data) >= 4 {
			return matchOf(binary.NativeEndian.Uint32(data)&e.packet.state() != 0)
		}
	case "conntrack":
		if len(data) < end {
			return maybe
		}
		field := func(at int) uint32 { return uint32(binary.NativeEndian.Uint16(data[at:])) }
		what, not := field(flags), field(inverts)
		if what&byState != 0 && (field(states)&e.packet.state() != 0) == (not&byState != 0) {
			return no
		}
		if what&byStatus != 0 && (field(statuses)&e.packet.status() != 0) == (not&byStatus != 0) {
			return no
		}
		if what&^(byState|byStatus) == 0 {
			return yes
		}
	}
	return maybe
}

// target is a target of xtables; those that are not listed let the packet continue.
func (e *evaluation) target(x expression) {
	const name = 1
	switch text(x.data[name]) {
	case "REJECT", "TARPIT":
		e.verdict = verdictDrop
	case "NFQUEUE":
		e.verdict = verdictUnknown
	}
}

func text(value []byte) string { return unix.ByteSliceToString(value) }
