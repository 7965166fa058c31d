// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const (
	rateShift      = hotspotAbiABI_RATE_SHIFT
	burstNs        = 200_000_000 // depth of a bucket as time at its own rate
	burstFloorByte = 64_000      // and its least depth in bytes
	nsBitsPerByte  = 8 * 1_000_000_000
)

// speed is what the kernel's bucket needs to know about a bit rate.
type speed struct {
	bitPerS, rateNsPerByte, burstNs uint64
}

// newSpeed computes the bucket of a bit rate: a byte costs 8e9/bps ns (fixed
// point, rounded to nearest), and the bucket is max(bps x 200 ms, 64 KB) deep.
// field names the rate in the error for one out of bounds.
func newSpeed(field string, bps uint64) (speed, error) {
	if bps == 0 {
		return speed{}, nil
	}
	if bps < dataplane.MinBPS || bps > dataplane.MaxBPS {
		return speed{}, fmt.Errorf("%s %d bit/s: want 0 for no limit, or %d to %d", field, bps, dataplane.MinBPS, dataplane.MaxBPS)
	}
	return speed{
		bitPerS:       bps,
		rateNsPerByte: (nsBitsPerByte<<rateShift + bps/2) / bps,
		burstNs:       max(burstNs, burstFloorByte*nsBitsPerByte/bps),
	}, nil
}
