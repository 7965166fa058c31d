// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the programs of bpf/ as compiled objects, the generated types of their
// maps, and the conversion between these and the values of pkg/dataplane.
package bpf

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// ProgramConfig is the load-time constants of the programs, from the options.
type ProgramConfig struct {
	Limiter dataplane.Limiter
	Clamp   bool // receive windows of TCP flows are clamped
	Uplink  bool // clients share a total
	Bind    bool // rules bind clients to an address
}

// String is part of the names of pinned programs.
func (m ProgramConfig) String() string {
	name := ""
	if m.Limiter == dataplane.Fair {
		name += "_fair"
	}
	if m.Clamp {
		name += "_rwnd"
	}
	if m.Uplink {
		name += "_uplink"
	}
	if m.Bind {
		name += "_bind"
	}
	return name
}

// SetConstants writes the load-time constants.
func SetConstants(spec *ebpf.CollectionSpec, v Variant, m ProgramConfig) error {
	constants := map[string]any{
		HotspotVarConfigBridgePort: uint8(0), HotspotVarConfigUplink: uint8(0), HotspotVarConfigBind: uint8(0),
		HotspotVarConfigFair: uint8(0), HotspotVarConfigFairSeed: uint64(0), HotspotVarConfigTcpWindowClamp: uint8(0),
	}
	if v == BridgePort {
		constants[HotspotVarConfigBridgePort] = uint8(1)
	}
	if m.Uplink {
		constants[HotspotVarConfigUplink] = uint8(1)
	}
	if m.Bind {
		constants[HotspotVarConfigBind] = uint8(1)
	}
	if m.Limiter == dataplane.Fair {
		constants[HotspotVarConfigFair] = uint8(1)
		constants[HotspotVarConfigFairSeed] = newSeed()
	}
	if m.Clamp {
		constants[HotspotVarConfigTcpWindowClamp] = uint8(1)
	}
	return setConstants(spec, constants)
}

func setConstants(spec *ebpf.CollectionSpec, constants map[string]any) error {
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

// Variant is how an interface is metered: all of its frames, or, on a bridge
// port, only those from or to the router itself.
type Variant int

// The variants of the programs.
const (
	WholeInterface Variant = iota
	BridgePort
	Variants
)

// VariantOf is that of an interface, which may be a port of a bridge.
func VariantOf(port bool) Variant {
	if port {
		return BridgePort
	}
	return WholeInterface
}

// ProgramNames are those of bpf/hotspot.c.
var ProgramNames = [Directions]string{Upload: HotspotProgFromClient, Download: HotspotProgToClient}

// Fingerprint distinguishes this version of the object from others.
func Fingerprint() string {
	sum := sha256.Sum256(_HotspotBytes)
	return fmt.Sprintf("%x", sum[:6])
}

// UplinkSpeeds are those of an uplink, by direction.
func UplinkSpeeds(u dataplane.Uplink) (by [Directions]Speed, err error) {
	if by[Download], err = NewSpeed("uplink.down_mbps", u.DownBPS); err != nil {
		return by, err
	}
	by[Upload], err = NewSpeed("uplink.up_mbps", u.UpBPS)
	return by, err
}

// SlotShift is the least with which the slots of the clock reach over the depth of
// the bucket and a super-packet, and a super-packet of 64 KB over 16 of them.
func SlotShift(s Speed) uint64 {
	const superPacket, reach = 1 << 16, 16
	packet := superPacket * s.RateNsPerByte >> RateShift
	return uint64(bits.Len64(max(3*s.BurstNs/uint64(len(HotspotUplink{}.Work)), packet/reach)))
}
