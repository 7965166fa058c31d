// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// NameToWire is the key of a name in the walled garden: its labels from the right to the
// left, with a NUL at the end where names below it are not meant.
func NameToWire(n dataplane.GardenName) HotspotNameKey {
	name, below := n.Below()
	text := []byte("." + name)
	slices.Reverse(text)
	if !below {
		text = append(text, 0)
	}
	key := HotspotNameKey{PrefixLen: uint32(8 * len(text))}
	copy(key.Text[:], text)
	return key
}

// NameFromWire is the inverse of NameToWire.
func NameFromWire(k HotspotNameKey) dataplane.GardenName {
	text, exact := strings.CutSuffix(string(k.Text[:k.PrefixLen/8]), "\x00")
	name := []byte(text)
	slices.Reverse(name)
	if exact {
		return dataplane.GardenName(name[1:])
	}
	return dataplane.GardenName("*" + string(name))
}

// SetGardenConstants writes the load-time constants of the programs that let devices reach
// the addresses of names.
func SetGardenConstants(spec *ebpf.CollectionSpec, g dataplane.Garden) error {
	speed, err := NewSpeed("walled_garden_speed", g.SpeedBPS)
	if err != nil {
		return err
	}
	var ports [HotspotAbiABI_GARDEN_PORTS]uint16
	for i, port := range g.Ports {
		ports[i] = toBigEndian(port)
	}
	return setConstants(spec, map[string]any{
		CaptiveVarGardenOn:      len(g.Names()) > 0,
		CaptiveVarGardenPortsBe: ports,
		CaptiveVarGardenSpeed:   speed,
	})
}
