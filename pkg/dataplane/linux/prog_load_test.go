// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/baseline"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// lastHelperOfFloor is the newest helper of Linux 5.15 (bpf_get_branch_snapshot
// came next).
const lastHelperOfFloor = 175

// TestPrograms holds what lets the programs load on the oldest kernel, one built
// without BTF of its own: no newer helper, no kernel function, no relocation, and
// no data but load-time constants.
func TestPrograms(t *testing.T) {
	spec, err := bpf.LoadHotspot()
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
	constants := []string{bpf.HotspotVarConfigBridgePort, bpf.HotspotVarConfigFair, bpf.HotspotVarConfigFairSeed, bpf.HotspotVarConfigTcpWindowClamp, bpf.HotspotVarConfigUplink,
		bpf.HotspotVarConfigBind}
	for name := range spec.Variables {
		if !slices.Contains(constants, name) {
			t.Errorf("the object has a variable %s", name)
		}
	}
}

// mostVerified is how many instructions the verifier may follow in one program,
// on all its paths: two fifths of what it refuses.
const mostVerified = 400_000

// TestVerifierTime: an agent on a slow router must not take seconds to start. What counts is
// the CPU time of the thread that loads: a wait for the CPU says nothing about the programs.
func TestVerifierTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, uplink := range []dataplane.Uplink{{}, {UpBPS: 1_000_000, DownBPS: 1_000_000}} {
		testbedUplink = uplink
		defer func() { testbedUplink = dataplane.Uplink{} }()
		best := time.Hour
		for range 3 {
			start := threadTime(t)
			b := newTestbed(t, false)
			best = min(best, threadTime(t)-start)
			b.checkVerified()
		}
		if best > time.Second && !emulated() {
			t.Errorf("uplink %v: loading took %v", uplink, best)
		}
	}
}

// threadTime is how long the calling thread has run, in the kernel's calls as well.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}

func (b *testbed) checkVerified() {
	b.t.Helper()
	b.verifies(b.FromClient, b.ToClient)
}

func (b *testbed) verifies(programs ...*ebpf.Program) {
	b.t.Helper()
	for _, prog := range programs {
		info, err := prog.Info()
		if err != nil {
			b.t.Fatal(err)
		}
		n, ok := info.VerifiedInstructions()
		b.t.Logf("the verifier followed %d instructions of %s", n, info.Name)
		if ok && n > mostVerified {
			b.t.Errorf("the verifier followed %d instructions of %s, want at most %d", n, info.Name, mostVerified)
		}
	}
}

// emulated reports whether the processor is software, and slow: hack/kernel-test.sh says so.
func emulated() bool { return os.Getenv("HOTSPOT_EMULATED") != "" }

// BenchmarkProgRun measures a frame's way through the programs with either limiter,
// beside a program that does nothing and one that only looks the client up.
func BenchmarkProgRun(b *testing.B) {
	bed := newTestbed(b, false)
	bed.crowd(b, 200)
	up := packet4(b, bpf.Upload, 1500)
	b.Run("nop", func(b *testing.B) { benchmark(b, bed.load(b, baseline.Empty()), up) })
	b.Run("lookup", func(b *testing.B) { benchmark(b, bed.load(b, baseline.Lookup(bed.ClientIndex, baseline.Sender)), up) })
	b.Run("unpaid", func(b *testing.B) { benchmark(b, bed.FromClient, up) })
	b.Run("bucket", benchmarkLimiter)
	b.Run("fair", func(b *testing.B) {
		withFair(b)
		benchmarkLimiter(b)
	})
}

// crowd lets 200 other clients in.
func (b *testbed) crowd(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		b.grant(dataplane.MAC{0x02, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)}, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(1000 + i), LimitBytes: dataplane.NoLimit})
	}
}

func benchmarkLimiter(b *testing.B) {
	bed := newTestbed(b, false)
	bed.crowd(b, 200)
	for _, c := range []struct {
		name string
		dir  int
		rule dataplane.Rule
	}{
		{"unlimited", bpf.Upload, dataplane.Rule{LimitBytes: dataplane.NoLimit}},
		{"upload", bpf.Upload, dataplane.Rule{LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MaxBPS}},
		{"download", bpf.Download, dataplane.Rule{LimitBytes: dataplane.NoLimit, DownBPS: dataplane.MaxBPS}},
		{"backlogged", bpf.Upload, dataplane.Rule{LimitBytes: dataplane.NoLimit, UpBPS: 20_000_000_000}},
		{"rate drop", bpf.Upload, dataplane.Rule{LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MinBPS}},
		{"limit drop", bpf.Upload, dataplane.Rule{LimitBytes: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			bed := bed.clean(b)
			bed.crowd(b, 200)
			c.rule.Verdict, c.rule.Account = dataplane.Allow, 7
			bed.grant(clientMAC, c.rule)
			benchmark(b, bed.program(c.dir), packet4(b, c.dir, 1500))
		})
	}
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
func (b *testbed) load(t testing.TB, spec *ebpf.ProgramSpec) *ebpf.Program {
	t.Helper()
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}
