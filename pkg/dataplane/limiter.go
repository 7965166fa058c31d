// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
)

// Limiter names how speeds are held.
type Limiter string

// The limiters.
const (
	// Bucket holds the speed of each direction, whatever flows there are in it.
	Bucket Limiter = "bucket"
	// Fair does the same, and shares the speed evenly among the flows of a client.
	Fair Limiter = "fair"
)

func (l Limiter) check() error {
	if l != Bucket && l != Fair {
		return fmt.Errorf("limiter %q: want %s or %s", l, Fair, Bucket)
	}
	return nil
}

// setConstants writes what the programs are told when they are loaded.
func setConstants(spec *ebpf.CollectionSpec, v variant, l Limiter) error {
	constants := map[string]any{hotspotVarPortMode: uint8(0), hotspotVarFairMode: uint8(0), hotspotVarFairSeed: uint64(0)}
	if v == bridgePort {
		constants[hotspotVarPortMode] = uint8(1)
	}
	if l == Fair {
		constants[hotspotVarFairMode] = uint8(1)
		constants[hotspotVarFairSeed] = newSeed()
	}
	for name, value := range constants {
		c := spec.Variables[name]
		if c == nil {
			return fmt.Errorf("loading the programs: the object has no constant %s", name)
		}
		if err := c.Set(value); err != nil {
			return fmt.Errorf("loading the programs: constant %s: %w", name, err)
		}
	}
	return nil
}

// newSeed makes the numbers of flows unpredictable.
func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return binary.NativeEndian.Uint64(b[:])
}
