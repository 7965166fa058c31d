// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// ReleaseFolder takes the programs of a folder, of either mode, off the devices that are
// chosen, and returns the others that have some.
func ReleaseFolder(p pins.Folder, s *links.NetNS, chosen func(Device) bool) (left []Device, err error) {
	census := NewCensus(p)
	clsact, err := NewClsact(p, s, census)
	if err != nil {
		return nil, err
	}
	for _, h := range []Attacher{NewTCX(p, s, census), clsact} {
		others, failed := release(h, chosen)
		left, err = append(left, others...), errors.Join(err, failed)
		h.Close()
	}
	return sortDevices(left), err
}

func release(h Attacher, chosen func(Device) bool) (left []Device, err error) {
	held, err := h.Held()
	if err != nil {
		return nil, err
	}
	for _, dev := range held {
		if chosen(dev) {
			err = errors.Join(err, h.Release(dev))
		} else if dev.Index != 0 {
			left = append(left, dev)
		}
	}
	return left, err
}
