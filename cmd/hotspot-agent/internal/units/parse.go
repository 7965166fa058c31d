// SPDX-License-Identifier: Apache-2.0

// Package units reads and writes amounts the way people say them: 100MB, 1h30m,
// 512k, 30d. Inside the agent there are only whole bytes, bit/s and seconds.
package units

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// factor is one unit and what it multiplies with.
type factor struct {
	name string
	by   int64
}

var byteFactors = []factor{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12},
	{"b", 1},
}

var speedFactors = []factor{
	{"", 1e6}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9},
	{"kbit/s", 1e3}, {"mbit/s", 1e6}, {"gbit/s", 1e9}, {"bit/s", 1},
	{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"bit", 1},
	{"kbps", 1e3}, {"mbps", 1e6}, {"gbps", 1e9}, {"bps", 1},
}

var timeFactors = []factor{
	{"w", 7 * 86400}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1},
}

// Why an amount is refused.
var (
	errNegative = errors.New("is negative")
	errTooLarge = errors.New("is too large")
)

const (
	wantBytes = "a number with its unit: B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB, like 100MB"
	wantSpeed = "a number of Mbit/s, or one with its unit k, M or G, like 5, 512k or 1G; 0 is no limit"
	wantTime  = "a duration with its units w, d, h, m, s, like 1h, 90m or 2d12h"
	wantDays  = "whole days, like 30d, or never"
)

// ParseBytes reads an amount of data as whole bytes, at most MaxInt64. A bare
// number is refused: whether it meant bytes or megabytes is a matter of money.
// Letter case does not matter.
func ParseBytes(s string) (uint64, error) {
	n, err := parseOne(s, byteFactors)
	if err != nil {
		return 0, refuse(s, err, wantBytes)
	}
	return n, nil
}

// ParseSpeed reads a speed as whole bit/s, at most MaxInt64. A bare number is Mbit/s.
func ParseSpeed(s string) (uint64, error) {
	n, err := parseOne(s, speedFactors)
	if err != nil {
		return 0, refuse(s, err, wantSpeed)
	}
	return n, nil
}

// ParseTime reads a duration in whole seconds. A bare number is refused, except 0.
func ParseTime(s string) (time.Duration, error) {
	secs, err := parseSeconds(s)
	if err != nil {
		return 0, refuse(s, err, wantTime)
	}
	return time.Duration(secs) * time.Second, nil
}

// ParseDays reads an expiry as whole days of 24 h; "never" is nil.
func ParseDays(s string) (*uint, error) {
	if strings.EqualFold(strings.TrimSpace(s), "never") {
		return nil, nil
	}
	secs, err := parseSeconds(s)
	if err != nil {
		return nil, refuse(s, err, wantDays)
	}
	if secs == 0 || secs%86400 != 0 {
		return nil, refuse(s, errors.New("is not a whole number of days"), wantDays)
	}
	days := uint(secs / 86400)
	return &days, nil
}

func refuse(s string, err error, want string) error {
	return fmt.Errorf("%q %w: want %s", s, err, want)
}

// parseOne reads one number and its unit.
func parseOne(s string, factors []factor) (uint64, error) {
	digits, rest, err := splitNumber(strings.TrimSpace(s))
	if err != nil {
		return 0, err
	}
	unit := strings.TrimSpace(rest)
	by, err := lookup(unit, factors)
	if err != nil {
		return 0, err
	}
	return scale(digits, by)
}

// parseSeconds adds up numbers with their units: 2d12h.
func parseSeconds(s string) (uint64, error) {
	rest := strings.TrimSpace(s)
	if rest == "0" {
		return 0, nil
	}
	var sum uint64
	for first := true; first || rest != ""; first = false {
		digits, tail, err := splitNumber(rest)
		if err != nil {
			return 0, err
		}
		unit := tail[:len(tail)-len(strings.TrimLeft(tail, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))]
		by, err := lookup(unit, timeFactors)
		if err != nil {
			return 0, err
		}
		secs, err := scale(digits, by)
		if err != nil {
			return 0, err
		}
		sum += secs // both below MaxInt64: no wrap in 64 unsigned bits
		if sum > math.MaxInt64/uint64(time.Second) {
			return 0, errTooLarge
		}
		rest = strings.TrimSpace(tail[len(unit):])
	}
	return sum, nil
}

// splitNumber cuts the decimal number at the start of s.
func splitNumber(s string) (digits, rest string, err error) {
	if strings.HasPrefix(s, "-") {
		return "", "", errNegative
	}
	s = strings.TrimPrefix(s, "+")
	end := len(s) - len(strings.TrimLeft(s, "0123456789."))
	digits, rest = s[:end], s[end:]
	if strings.Trim(digits, ".") == "" || strings.Count(digits, ".") > 1 {
		return "", "", errors.New("is not an amount")
	}
	return digits, rest, nil
}

func lookup(unit string, factors []factor) (int64, error) {
	for _, f := range factors {
		if strings.EqualFold(unit, f.name) {
			return f.by, nil
		}
	}
	if unit == "" {
		return 0, errors.New("has no unit")
	}
	return 0, fmt.Errorf("has an unknown unit %q", unit)
}

// maxDigits bounds the work on hostile input; MaxInt64 has 19.
const maxDigits = 40

// scale multiplies exactly: no float rounds an amount that was paid for.
func scale(digits string, by int64) (uint64, error) {
	if len(digits) > maxDigits {
		return 0, errTooLarge
	}
	r, ok := new(big.Rat).SetString(strings.TrimSuffix("0"+digits, "."))
	if !ok {
		return 0, errors.New("is not an amount")
	}
	r.Mul(r, new(big.Rat).SetInt64(by))
	if !r.IsInt() {
		return 0, errors.New("is not a whole number of the smallest unit (byte, bit/s, second)")
	}
	if !r.Num().IsInt64() {
		return 0, errTooLarge
	}
	return r.Num().Uint64(), nil
}
