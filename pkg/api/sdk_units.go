// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	bytesPerMB   = 1e6
	bpsPerMbit   = 1_000_000
	maxMbits     = math.MaxInt64 / bpsPerMbit
	firstTooMany = float64(1 << 63) // bytes that no longer fit
)

// bytesOf converts the seed's megabytes. It refuses what is no amount.
func bytesOf(field string, mb float64) (uint64, error) {
	bytes := math.Round(mb * bytesPerMB)
	switch {
	case math.IsNaN(mb), math.IsInf(mb, 0):
		return 0, sessions.Invalidf(field, "%v is not an amount of data", mb)
	case mb < 0:
		return 0, sessions.Invalidf(field, "%v is negative", mb)
	case bytes >= firstTooMany:
		return 0, sessions.Invalidf(field, "%v MB is too large (at most %d bytes)", mb, int64(maxBytes))
	}
	return uint64(bytes), nil
}

func mbOf(bytes uint64) float64 { return float64(bytes) / bytesPerMB }

// bpsOf converts the seed's Mbit/s.
func bpsOf(field string, mbits int) (uint64, error) {
	switch {
	case mbits < 0:
		return 0, sessions.Invalidf(field, "%d is negative", mbits)
	case int64(mbits) > maxMbits:
		return 0, sessions.Invalidf(field, "%d Mbit/s is too large (at most %d)", mbits, int64(maxMbits))
	}
	return uint64(mbits) * bpsPerMbit, nil
}

// mbitsOf rounds up, so that a slow speed does not read as 0, which is no limit.
func mbitsOf(bps uint64) int {
	return int(bps/bpsPerMbit + min(bps%bpsPerMbit, 1))
}

func secsOf(field string, secs uint) (int64, error) {
	if uint64(secs) > uint64(maxSecs) {
		return 0, sessions.Invalidf(field, "%d is too large (at most %d)", secs, maxSecs)
	}
	return int64(secs), nil
}

func daysOf(field string, days *uint) (*uint, error) {
	if days == nil {
		return nil, nil
	}
	if uint64(*days) > uint64(maxDays) {
		return nil, sessions.Invalidf(field, "%d is too large (at most %d)", *days, maxDays)
	}
	own := *days
	return &own, nil
}
