// SPDX-License-Identifier: Apache-2.0

package units

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]uint64{
		"0B": 0, "1B": 1, "100MB": 100_000_000, "100 MB": 100_000_000, "1kB": 1000, "1KB": 1000, "1KiB": 1024,
		"2MiB": 2 << 20, "1.5GB": 1_500_000_000, "0.001kB": 1, "3GiB": 3 << 30, "1TB": 1e12, "1TiB": 1 << 40,
		"10M": 10_000_000, "5g": 5_000_000_000, " 7mb ": 7_000_000, "9223372036854775807B": math.MaxInt64, ".5kB": 500, "5.kB": 5000,
	} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, why := range map[string]string{
		"": "not an amount", "MB": "not an amount", "100": "has no unit", "0": "has no unit", "-1MB": "negative", "NaN": "not an amount",
		"infMB": "not an amount", "Inf": "not an amount", "1e3MB": "unknown unit", "0x10MB": "unknown unit", "1.2.3MB": "not an amount", ".": "not an amount",
		"1XB": `unknown unit "XB"`, "1.5B": "not a whole number", "9223372036854775808B": "too large", "99999999999TB": "too large",
		"1MB 2kB": "unknown unit", "1_000MB": "unknown unit", "1,5GB": "unknown unit", strings.Repeat("9", 50) + "B": "too large",
	} {
		if got, err := ParseBytes(in); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), strconv.Quote(in)) {
			t.Errorf("ParseBytes(%q) = %d, %v; want an error naming it and saying %q", in, got, err, why)
		}
	}
}

func TestParseSpeed(t *testing.T) {
	for in, want := range map[string]uint64{
		"0": 0, "5": 5_000_000, "0.5": 500_000, "512k": 512_000, "5M": 5_000_000, "1G": 1_000_000_000, "2.5m": 2_500_000,
		"5Mbit/s": 5_000_000, "5 Mbit": 5_000_000, "5mbps": 5_000_000, "64000bit/s": 64_000, "10kbps": 10_000,
	} {
		if got, err := ParseSpeed(in); err != nil || got != want {
			t.Errorf("ParseSpeed(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-5", "NaN", "inf", "+Inf", "1e99", "5MB", "5T", "0.0000001", "9300000000000", "five", "5 5", "--"} {
		if got, err := ParseSpeed(in); err == nil || !strings.Contains(err.Error(), strconv.Quote(in)) {
			t.Errorf("ParseSpeed(%q) = %d, %v; want an error naming it", in, got, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "1h": time.Hour, "90m": 90 * time.Minute, "2d12h": 60 * time.Hour, "1h30m": 90 * time.Minute,
		"1w": 7 * 24 * time.Hour, "1.5h": 90 * time.Minute, "1h 5m 9s": time.Hour + 5*time.Minute + 9*time.Second, "3S": 3 * time.Second,
	} {
		if got, err := ParseTime(in); err != nil || got != want {
			t.Errorf("ParseTime(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "3600", "-1h", "1x", "1.5s", "0.5s", "NaN", "inf", "h", "300y", "99999999999h", "9223372037s", "1h-5m", "1h5", "200ms"} {
		if got, err := ParseTime(in); err == nil || !strings.Contains(err.Error(), strconv.Quote(in)) {
			t.Errorf("ParseTime(%q) = %s, %v; want an error naming it", in, got, err)
		}
	}
}

func TestParseDays(t *testing.T) {
	for in, want := range map[string]uint{"30d": 30, "1d": 1, "2w": 14, "48h": 2} {
		if got, err := ParseDays(in); err != nil || got == nil || *got != want {
			t.Errorf("ParseDays(%q) = %v, %v; want %d", in, got, err, want)
		}
	}
	if got, err := ParseDays("Never"); err != nil || got != nil {
		t.Errorf("ParseDays(never) = %v, %v; want nil", got, err)
	}
	for _, in := range []string{"", "30", "0", "0d", "-1d", "36h", "1.5d", "tomorrow", "99999999d"} {
		if got, err := ParseDays(in); err == nil {
			t.Errorf("ParseDays(%q) = %d; want an error", in, *got)
		}
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.23 kB", 1500: "1.5 kB", 20_000_000: "20 MB", 19_999_999: "19.9 MB",
		100_000_000: "100 MB", 1_250_000_000: "1.25 GB", 999_999: "999 kB", math.MaxUint64: "18.4 EB", 10_049_000: "10 MB",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q; want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m 01s", time.Hour + 5*time.Second: "1h 00m 05s",
		51*time.Hour + 7*time.Minute: "2d 3h 07m",
	} {
		if got := FormatTime(d); got != want {
			t.Errorf("FormatTime(%s) = %q; want %q", d, got, want)
		}
	}
	if got := FormatLimit(0) + ", " + FormatLimit(512_000) + ", " + FormatSpeed(2_500_000); got != "no limit, 512 kbit/s, 2.5 Mbit/s" {
		t.Errorf("speeds: %q", got)
	}
}

// What is read back is what was meant, to the byte, whatever the unit.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "bytes")
		if got, err := ParseBytes(strconv.FormatUint(n, 10) + "B"); err != nil || got != n {
			t.Fatalf("%dB = %d, %v", n, got, err)
		}
		kilo := rapid.Uint64Range(0, math.MaxInt64/1000).Draw(t, "kilo")
		if got, err := ParseSpeed(strconv.FormatUint(kilo, 10) + "k"); err != nil || got != kilo*1000 {
			t.Fatalf("%dk = %d, %v", kilo, got, err)
		}
		secs := rapid.Int64Range(1, math.MaxInt64/int64(time.Second)).Draw(t, "secs")
		if got, err := ParseTime((time.Duration(secs) * time.Second).String()); err != nil || got != time.Duration(secs)*time.Second {
			t.Fatalf("%ds = %s, %v", secs, got, err)
		}
	})
}

// No input makes a parser panic or give a value beyond what the store can hold.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"100MB", "5", "512k", "1h30m", "30d", "never", "-1", "NaN", "1e999", "\x00", "9223372036854775807B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseBytes(s); err == nil && n > math.MaxInt64 {
			t.Errorf("ParseBytes(%q) = %d", s, n)
		}
		if n, err := ParseSpeed(s); err == nil && n > math.MaxInt64 {
			t.Errorf("ParseSpeed(%q) = %d", s, n)
		}
		if d, err := ParseTime(s); err == nil && (d < 0 || d%time.Second != 0) {
			t.Errorf("ParseTime(%q) = %s", s, d)
		}
		if days, err := ParseDays(s); err == nil && days != nil && *days == 0 {
			t.Errorf("ParseDays(%q) = 0", s)
		}
	})
}
