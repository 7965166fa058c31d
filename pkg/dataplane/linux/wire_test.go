// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"math"
	"math/bits"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// The constants that Go repeats are those of the C side.
func TestABI(t *testing.T) {
	for name, values := range map[string][2]uint64{
		"VERDICT_ALLOW":   {uint64(dataplane.Allow), uint64(bpf.HotspotVerdictVERDICT_ALLOW)},
		"VERDICT_BLOCK":   {uint64(dataplane.Block), uint64(bpf.HotspotVerdictVERDICT_BLOCK)},
		"EVENT_EXHAUSTED": {uint64(dataplane.Exhausted), uint64(bpf.HotspotEventKindEVENT_EXHAUSTED)},
		"EVENT_DEADLINE":  {uint64(dataplane.DeadlinePassed), uint64(bpf.HotspotEventKindEVENT_DEADLINE)},
		"EVENT_CAPTIVE":   {uint64(dataplane.Answered), uint64(bpf.HotspotEventKindEVENT_CAPTIVE)},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: abi.h says %d, Go says %d", name, values[1], values[0])
		}
	}
	header, err := os.ReadFile("../../../bpf/abi.h")
	check(t, err)
	// No enum: it has 64 bits.
	found := regexp.MustCompile(`#define ABI_FILTER_MULTIPLIER (0x[0-9a-f]+)ULL`).FindSubmatch(header)
	if found == nil {
		t.Fatal("ABI_FILTER_MULTIPLIER is not in abi.h")
	}
	if got, err := strconv.ParseUint(string(found[1]), 0, 64); err != nil || got != bpf.FilterMultiplier {
		t.Errorf("ABI_FILTER_MULTIPLIER: abi.h says %s, Go says %#x", found[1], uint64(bpf.FilterMultiplier))
	}
}

// Every reason has a label: the lower-case name of its code.
func TestReasonLabels(t *testing.T) {
	header, err := os.ReadFile("../../../bpf/abi.h")
	check(t, err)
	codes := regexp.MustCompile(`((?:PASS|DROP|ANSWER)_\w+) = (\d+),`).FindAllStringSubmatch(string(header), -1)
	if len(codes) != len(bpf.ReasonLabels) {
		t.Errorf("abi.h has %d reasons, Go has %d labels", len(codes), len(bpf.ReasonLabels))
	}
	for _, code := range codes {
		n, _ := strconv.Atoi(code[2])
		if n >= len(bpf.ReasonLabels) || bpf.ReasonLabels[n] != strings.ToLower(code[1]) {
			t.Errorf("reason %d is %s in abi.h", n, code[1])
		}
	}
}

func TestSpeed(t *testing.T) {
	tests := []struct {
		bps                uint64
		nsPerByte, burstNs uint64
	}{
		{0, 0, 0},
		{1_000, 8_000_000 << 20, 512_000_000_000}, // 64 KB at 1 kbit/s
		{1_000_000, 8_000 << 20, 512_000_000},
		{2_560_000, 3_125 << 20, 200_000_000}, // where 200 ms are 64 KB
		{10_000_000, 800 << 20, 200_000_000},
		{1_000_000_000, 8 << 20, 200_000_000},
		{100_000_000_000, 83_886, 200_000_000},
	}
	for _, test := range tests {
		got, err := bpf.NewSpeed("DownBPS", test.bps)
		if want := (bpf.Speed{BitPerS: test.bps, RateNsPerByte: test.nsPerByte, BurstNs: test.burstNs}); err != nil || got != want {
			t.Errorf("newSpeed(%d) = %+v, %v, want %+v", test.bps, got, err, want)
		}
	}
	for _, bps := range []uint64{1, 999, dataplane.MaxBPS + 1, math.MaxUint64} {
		if _, err := bpf.NewSpeed("DownBPS", bps); err == nil || !strings.Contains(err.Error(), strconv.FormatUint(bps, 10)) {
			t.Errorf("newSpeed(%d): %v, want an error that names it", bps, err)
		}
	}
}

// Whatever the speed: no charge overflows, and the rounding stays below 1e-5.
func TestSpeedBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bps := rapid.Uint64Range(dataplane.MinBPS, dataplane.MaxBPS).Draw(t, "bps")
		s, err := bpf.NewSpeed("DownBPS", bps)
		if err != nil {
			t.Fatal(err)
		}
		if hi, _ := bits.Mul64(s.RateNsPerByte, uint64(bpf.HotspotAbiABI_COST_BYTES)); hi != 0 {
			t.Fatal("the charge of a super-packet overflows")
		}
		exact := 8e9 / float64(bps) * (1 << bpf.RateShift)
		if off := math.Abs(float64(s.RateNsPerByte)-exact) / exact; off > 1e-5 {
			t.Fatalf("off by %g", off)
		}
		if depth := float64(s.BurstNs) * float64(bps) / 8e9; depth < bpf.BurstFloorByte-float64(bps)/8e9-1 {
			t.Fatalf("a bucket of %g bytes", depth)
		}
	})
}

func TestRuleRoundTrip(t *testing.T) {
	speeds := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(dataplane.MinBPS, dataplane.MaxBPS))
	rapid.Check(t, func(t *rapid.T) {
		r := dataplane.Rule{
			Verdict:    dataplane.Verdict(rapid.IntRange(1, 2).Draw(t, "verdict")),
			Account:    dataplane.Account(rapid.Uint64Min(1).Draw(t, "account")),
			LimitBytes: rapid.Uint64().Draw(t, "limit"),
			Deadline:   dataplane.Boottime(rapid.Int64Min(0).Draw(t, "deadline")),
			DownBPS:    speeds.Draw(t, "down"),
			UpBPS:      speeds.Draw(t, "up"),
		}
		wire, err := bpf.RuleToWire(r)
		if err != nil {
			t.Fatal(err)
		}
		if back := bpf.RuleFromWire(wire); back != r {
			t.Fatalf("%+v came back as %+v", r, back)
		}
	})
}

func TestWireAddresses(t *testing.T) {
	v4 := bpf.PrefixToWire(netip.MustParsePrefix("192.0.2.77/24"))
	if v4.PrefixLen != 120 || v4.Addr != netip.MustParseAddr("::ffff:192.0.2.0").As16() {
		t.Errorf("IPv4 prefix: %+v", v4)
	}
	v6 := bpf.PrefixToWire(netip.MustParsePrefix("2001:db8::1/32"))
	if v6.PrefixLen != 32 || v6.Addr != netip.MustParseAddr("2001:db8::").As16() {
		t.Errorf("IPv6 prefix: %+v", v6)
	}
	portal := bpf.PortalToWire(dataplane.Portal{Port: 443, Protocol: "udp"})
	if portal.Addr != [16]byte{} || portal.Protocol != 17 {
		t.Errorf("portal: %+v", portal)
	}
}
