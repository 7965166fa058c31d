// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Retired returns what maps of other versions counted, the oldest first. They are there
// until RemoveRetired, also for a process that comes after this one. Maps that cannot be
// read are logged and left out, and so are those that counted nothing. When it fails
// nothing was read.
func (d *Dataplane) Retired() ([]dataplane.Retired, error) {
	dirs, err := d.pins.Retired()
	if err == nil && len(dirs) > 0 {
		err = d.grace.Wait(d.grace.Next()) // packets in flight may still count there
	}
	if err != nil {
		return nil, err
	}
	var list []dataplane.Retired
	for _, dir := range dirs {
		one, err := pins.ReadRetired(dir)
		if err != nil {
			d.opts.Log.Warn("what another version's maps counted since the last checkpoint is lost, in the clients' favour",
				"maps", dir, "error", err)
			continue
		}
		if len(one.Spent) > 0 {
			list = append(list, one)
		}
	}
	return list, nil
}

// RemoveRetired removes the maps of other versions.
func (d *Dataplane) RemoveRetired() error { return d.pins.RemoveRetired() }
