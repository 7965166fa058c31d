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
)

// The constants that Go repeats are those of the C side.
func TestABI(t *testing.T) {
	header, err := os.ReadFile("../../../bpf/abi.h")
	check(t, err)
	for pattern, want := range map[string]uint64{
		`#define ABI_LAYOUT_VERSION (\d+)`: layoutVersion,
		`#define ABI_RATE_SHIFT (\d+)`:     rateShift,
		`UPLOAD = (\d+)`:                   upload,
		`DOWNLOAD = (\d+)`:                 download,
		`DIRECTIONS = (\d+)`:               directions,
		`VERDICT_ALLOW = (\d+)`:            uint64(dataplane.Allow),
		`VERDICT_BLOCK = (\d+)`:            uint64(dataplane.Block),
		`EVENT_EXHAUSTED = (\d+)`:          uint64(dataplane.Exhausted),
		`EVENT_DEADLINE = (\d+)`:           uint64(dataplane.DeadlinePassed),
	} {
		found := regexp.MustCompile(`(?:^|\s)` + pattern).FindSubmatch(header)
		if found == nil {
			t.Errorf("%s: not in abi.h", pattern)
			continue
		}
		if got, _ := strconv.ParseUint(string(found[1]), 10, 64); got != want {
			t.Errorf("%s: abi.h says %d, Go says %d", pattern, got, want)
		}
	}
}

// Every reason has a label: the lower-case name of its code.
func TestReasonLabels(t *testing.T) {
	header, err := os.ReadFile("../../../bpf/abi.h")
	check(t, err)
	codes := regexp.MustCompile(`((?:PASS|DROP)_\w+) = (\d+),`).FindAllStringSubmatch(string(header), -1)
	if len(codes) != len(reasonLabels) {
		t.Errorf("abi.h has %d reasons, Go has %d labels", len(codes), len(reasonLabels))
	}
	for _, code := range codes {
		n, _ := strconv.Atoi(code[2])
		if n >= len(reasonLabels) || reasonLabels[n] != strings.ToLower(code[1]) {
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
		got, err := newSpeed("DownBPS", test.bps)
		if want := (speed{test.bps, test.nsPerByte, test.burstNs}); err != nil || got != want {
			t.Errorf("newSpeed(%d) = %+v, %v, want %+v", test.bps, got, err, want)
		}
	}
	for _, bps := range []uint64{1, 999, dataplane.MaxBPS + 1, math.MaxUint64} {
		if _, err := newSpeed("DownBPS", bps); err == nil || !strings.Contains(err.Error(), strconv.FormatUint(bps, 10)) {
			t.Errorf("newSpeed(%d): %v, want an error that names it", bps, err)
		}
	}
}

// Whatever the speed: no charge overflows, and the rounding stays below 1e-5.
func TestSpeedBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bps := rapid.Uint64Range(dataplane.MinBPS, dataplane.MaxBPS).Draw(t, "bps")
		s, err := newSpeed("DownBPS", bps)
		if err != nil {
			t.Fatal(err)
		}
		const costBytes = 1 << 19 // ABI_COST_BYTES
		if hi, _ := bits.Mul64(s.rateNsPerByte, costBytes); hi != 0 {
			t.Fatal("the charge of a super-packet overflows")
		}
		exact := 8e9 / float64(bps) * (1 << rateShift)
		if off := math.Abs(float64(s.rateNsPerByte)-exact) / exact; off > 1e-5 {
			t.Fatalf("off by %g", off)
		}
		if depth := float64(s.burstNs) * float64(bps) / 8e9; depth < burstFloorByte-float64(bps)/8e9-1 {
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
		wire, err := ruleToWire(r)
		if err != nil {
			t.Fatal(err)
		}
		if back := ruleFromWire(wire); back != r {
			t.Fatalf("%+v came back as %+v", r, back)
		}
	})
}

func TestWireAddresses(t *testing.T) {
	v4 := prefixToWire(netip.MustParsePrefix("192.0.2.77/24"))
	if v4.PrefixLen != 120 || v4.Addr != netip.MustParseAddr("::ffff:192.0.2.0").As16() {
		t.Errorf("IPv4 prefix: %+v", v4)
	}
	v6 := prefixToWire(netip.MustParsePrefix("2001:db8::1/32"))
	if v6.PrefixLen != 32 || v6.Addr != netip.MustParseAddr("2001:db8::").As16() {
		t.Errorf("IPv6 prefix: %+v", v6)
	}
	portal := portalToWire(dataplane.Portal{Port: 443, Protocol: "udp"})
	if portal.Addr != [16]byte{} || portal.Protocol != 17 {
		t.Errorf("portal: %+v", portal)
	}
}
