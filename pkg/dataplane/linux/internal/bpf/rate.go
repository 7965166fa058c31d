// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// What a bucket is computed with.
const (
	RateShift      = HotspotAbiABI_RATE_SHIFT // fixed point of Speed.RateNsPerByte
	burstNs        = 200_000_000              // depth of a bucket as time at its own rate
	BurstFloorByte = 64_000                   // and its least depth in bytes
	nsBitsPerByte  = 8 * 1_000_000_000
)

// Speed is what the kernel's bucket needs to know about a bit rate.
type Speed struct {
	BitPerS, RateNsPerByte, BurstNs uint64
}

// NewSpeed computes the bucket of a bit rate: a byte costs 8e9/bps ns (fixed
// point, rounded to nearest), and the bucket is max(bps x 200 ms, 64 KB) deep.
// field names the rate in the error for one out of bounds.
func NewSpeed(field string, bps uint64) (Speed, error) {
	if bps == 0 {
		return Speed{}, nil
	}
	if bps < dataplane.MinBPS || bps > dataplane.MaxBPS {
		return Speed{}, fmt.Errorf("%s %d bit/s: want 0 for no limit, or %d to %d", field, bps, dataplane.MinBPS, dataplane.MaxBPS)
	}
	return Speed{
		BitPerS:       bps,
		RateNsPerByte: (nsBitsPerByte<<RateShift + bps/2) / bps,
		BurstNs:       max(burstNs, BurstFloorByte*nsBitsPerByte/bps),
	}, nil
}
