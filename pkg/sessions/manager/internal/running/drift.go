// SPDX-License-Identifier: Apache-2.0

package running

import (
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Counted notes of whom there is a reading that does not say less than the row.
func (t *Table) Counted(readings []dataplane.Reading, round uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range readings {
		if e := t.of(&readings[i]); e != nil && e.row.Knows(&readings[i]) {
			e.round = round
		}
	}
}

// Pass takes a session that came to one round to another.
func (t *Table) Pass(id sessions.SessionID, from, to uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byID[id]; e != nil && e.round == from {
		e.round = to
	}
}

// Without returns the devices that did not come to a round, oldest first.
func (t *Table) Without(round uint16) []sessions.DeviceID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []sessions.DeviceID
	for id, e := range t.byDevice {
		if e.round != round {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
