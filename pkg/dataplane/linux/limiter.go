// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// mode is what the programs are told of the options when they are loaded.
type programConfig struct {
	limiter dataplane.Limiter
	clamp   bool // receive windows of TCP flows are clamped
	uplink  bool // clients share a total
	bind    bool // rules bind clients to an address
}

func (o Options) programConfig() programConfig {
	return programConfig{o.Limiter, o.TCPWindowClamp && o.Limiter == dataplane.Fair, o.Uplink != dataplane.Uplink{}, o.Bind}
}

// String is part of the names of pinned programs.
func (m programConfig) String() string {
	name := ""
	if m.limiter == dataplane.Fair {
		name += "_fair"
	}
	if m.clamp {
		name += "_rwnd"
	}
	if m.uplink {
		name += "_uplink"
	}
	if m.bind {
		name += "_bind"
	}
	return name
}

// setConstants writes what the programs are told when they are loaded.
func setConstants(spec *ebpf.CollectionSpec, v variant, m programConfig) error {
	constants := map[string]any{
		hotspotVarConfigBridgePort: uint8(0), hotspotVarConfigUplink: uint8(0), hotspotVarConfigBind: uint8(0),
		hotspotVarConfigFair: uint8(0), hotspotVarConfigFairSeed: uint64(0), hotspotVarConfigTcpWindowClamp: uint8(0),
	}
	if v == bridgePort {
		constants[hotspotVarConfigBridgePort] = uint8(1)
	}
	if m.uplink {
		constants[hotspotVarConfigUplink] = uint8(1)
	}
	if m.bind {
		constants[hotspotVarConfigBind] = uint8(1)
	}
	if m.limiter == dataplane.Fair {
		constants[hotspotVarConfigFair] = uint8(1)
		constants[hotspotVarConfigFairSeed] = newSeed()
	}
	if m.clamp {
		constants[hotspotVarConfigTcpWindowClamp] = uint8(1)
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
