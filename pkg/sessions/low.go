// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// low reports whether no more than percent is left of an allowance that bounds
// the session.
func low(s Session, percent int) bool {
	if percent <= 0 {
		return false
	}
	share := uint64(percent)
	return s.metered() && s.RemainingBytes() <= percentOf(s.Bytes, share) ||
		s.timed() && uint64(s.RemainingTime()) <= percentOf(uint64(s.Time), share)
}

// percentOf does not overflow for what a store can keep.
func percentOf(total, percent uint64) uint64 {
	return total/100*percent + total%100*percent/100
}

// lowAt is when a running session becomes low by time; 0 when it does not.
func lowAt(s Session, percent int) dataplane.Boottime {
	if percent <= 0 || !s.timed() || s.Meter.Low {
		return 0
	}
	left := s.RemainingTime() - time.Duration(percentOf(uint64(s.Time), uint64(percent)))
	return max(1, s.Meter.At.Add(max(0, left)))
}
