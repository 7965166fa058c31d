// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// lastHelperOfFloor is the newest helper of Linux 5.15 (bpf_get_branch_snapshot
// came next).
const lastHelperOfFloor = 175

// TestPrograms holds what lets the programs load on the oldest kernel, one built
// without BTF of its own: no newer helper, no kernel function, no relocation, and
// no data but load-time constants.
func TestPrograms(t *testing.T) {
	spec, err := loadHotspot()
	if err != nil {
		t.Fatal(err)
	}
	for name, prog := range spec.Programs {
		for _, ins := range prog.Instructions {
			if ins.IsKfuncCall() {
				t.Errorf("%s calls the kernel function %s", name, ins.Reference())
			}
			if ins.IsBuiltinCall() && ins.Constant > lastHelperOfFloor {
				t.Errorf("%s calls helper %v", name, asm.BuiltinFunc(ins.Constant))
			}
		}
	}
	for name := range spec.Maps {
		if strings.HasPrefix(name, ".") && name != ".rodata" {
			t.Errorf("the object has a data map %s", name)
		}
	}
	for name := range spec.Variables {
		if name != hotspotVarPortMode {
			t.Errorf("the object has a variable %s", name)
		}
	}
}

// mostVerified is how many instructions the verifier may follow in one program,
// on all its paths: a tenth of what it refuses.
const mostVerified = 100_000

// TestVerifierTime: an agent on a slow router must not take seconds to start. The
// best of some tries is the program's time; the rest is what else the machine does.
func TestVerifierTime(t *testing.T) {
	best := time.Hour
	for range 3 {
		start := time.Now()
		b := newTestbed(t, false)
		best = min(best, time.Since(start))
		for dir := range directions {
			info, err := b.program(dir).Info()
			if err != nil {
				t.Fatal(err)
			}
			if n, ok := info.VerifiedInstructions(); ok && n > mostVerified {
				t.Errorf("the verifier followed %d instructions of %s, want at most %d", n, info.Name, mostVerified)
			}
		}
	}
	if best > time.Second && !emulated(t) {
		t.Errorf("loading took %v", best)
	}
}

// emulated reports whether the processor is software, and slow.
func emulated(t testing.TB) bool {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(info), "QEMU TCG")
}

// BenchmarkProgRun measures a frame's way through the programs, beside a program
// that does nothing and one that only looks the client up.
func BenchmarkProgRun(b *testing.B) {
	bed := newTestbed(b, false)
	up, down := packet4(b, upload, 1500), packet4(b, download, 1500)
	for i := range 200 {
		bed.grant(MAC{0x02, 1, 0, 0, 0, byte(i)}, Rule{Verdict: Allow, Account: Account(1000 + i), LimitBytes: NoLimit})
	}
	run := func(name string, prog *ebpf.Program, frame []byte, rule *Rule) {
		b.Run(name, func(b *testing.B) {
			bed.t = b
			if rule != nil {
				bed.grant(clientMAC, *rule)
			}
			benchmark(b, prog, frame)
		})
	}
	allow := func(r Rule) *Rule {
		r.Verdict = Allow
		return &r
	}
	run("nop", bed.load(b, nopProgram()), up, nil)
	run("lookup", bed.load(b, lookupProgram(bed.Rules)), up, nil)
	run("unpaid", bed.FromClient, up, nil)
	run("forwarded/unlimited", bed.FromClient, up, allow(Rule{Account: 1, LimitBytes: NoLimit}))
	run("forwarded/upload", bed.FromClient, up, allow(Rule{Account: 2, LimitBytes: NoLimit, UpBPS: MaxBPS}))
	run("forwarded/download", bed.ToClient, down, allow(Rule{Account: 2, LimitBytes: NoLimit, DownBPS: MaxBPS}))
	run("rate drop", bed.FromClient, up, allow(Rule{Account: 3, LimitBytes: NoLimit, UpBPS: MinBPS}))
	run("limit drop", bed.FromClient, up, allow(Rule{Account: 4, LimitBytes: 1}))
}

func benchmark(b *testing.B, prog *ebpf.Program, frame []byte) {
	start := time.Now()
	if _, err := prog.Run(&ebpf.RunOptions{Data: frame, Repeat: uint32(b.N)}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N), "ns/packet")
	b.ReportMetric(0, "ns/op") // the same, less exactly named
}

// load loads a program to compare with.
func (b *testbed) load(t testing.TB, instructions asm.Instructions) *ebpf.Program {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: instructions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

func nopProgram() asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}
}

// lookupProgram looks an address up that is not there.
func lookupProgram(rules *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, rules.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	}
}
