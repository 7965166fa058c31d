// SPDX-License-Identifier: Apache-2.0

// Package baseline holds the programs that the agent's are compared with: one that does
// nothing, and the least by which a paying device can be recognised.
package baseline

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Offsets of the addresses in an Ethernet header: of the sender, of the receiver.
const (
	Receiver int16 = 0
	Sender   int16 = 6
)

const next = -1 // TC_ACT_UNSPEC: the next program decides

// Empty does nothing.
func Empty() *ebpf.ProgramSpec {
	return spec(asm.Instructions{asm.Mov.Imm(asm.R0, next), asm.Return()})
}

// Lookup looks for one of a frame's two addresses, in a hash with keys of 8 bytes, and
// then reads the clock.
func Lookup(clients *ebpf.Map, address int16) *ebpf.ProgramSpec {
	const data, dataEnd = 76, 80 // of struct __sk_buff
	return spec(asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, dataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14),
		asm.JGT.Reg(asm.R4, asm.R3, "out"),
		asm.Mov.Imm(asm.R4, 0),
		asm.StoreMem(asm.RFP, -8, asm.R4, asm.DWord),
		asm.LoadMem(asm.R4, asm.R2, address, asm.Half),
		asm.StoreMem(asm.RFP, -8, asm.R4, asm.Half),
		asm.LoadMem(asm.R4, asm.R2, address+2, asm.Half),
		asm.StoreMem(asm.RFP, -6, asm.R4, asm.Half),
		asm.LoadMem(asm.R4, asm.R2, address+4, asm.Half),
		asm.StoreMem(asm.RFP, -4, asm.R4, asm.Half),
		asm.LoadMapPtr(asm.R1, clients.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.FnKtimeGetBootNs.Call(),
		asm.Mov.Imm(asm.R0, next).WithSymbol("out"),
		asm.Return(),
	})
}

func spec(instructions asm.Instructions) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: instructions}
}
