// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// inherit takes over what the kernel's maps of another version had counted, before the
// maps go. It is as good as a checkpoint's marks, so that it becomes that: settled once,
// whenever the agent is killed. An agent that cannot store it starts all the same, and
// what was used since the last checkpoint is the customers'.
func (d *Daemon) inherit(bootID string) {
	list, err := d.plane.Past()
	if err != nil {
		d.log.Warn("the maps of another version are not looked at", "error", err)
		return
	}
	if err := d.takeOver(list, bootID); err != nil {
		d.log.Error("what another version's maps counted is not taken over", "error", err)
		return
	}
	if err := d.plane.ForgetPast(); err != nil {
		d.log.Warn("maps of another version stay", "error", err)
	}
}

func (d *Daemon) takeOver(list []dataplane.Past, bootID string) error {
	if len(list) == 0 {
		return nil
	}
	last, err := d.store.Checkpoint()
	if err != nil {
		return err
	}
	for _, past := range list {
		marks := marksOf(past, bootID)
		marks.Known = last.KnownAt(bootID, past.Until) // the maps do not know it
		if err := d.store.PutCheckpoint(marks); err != nil {
			return err
		}
		d.log.Info("took over what another version's maps counted", "accounts", len(past.Spent))
	}
	return nil
}

func marksOf(past dataplane.Past, bootID string) sessions.Checkpoint {
	marks := sessions.Checkpoint{Boot: bootID, At: past.Until, Epoch: past.Epoch}
	for account, spent := range past.Spent {
		if id := sessions.SessionID(account); id > 0 { // else a trusted device's
			marks.Spent = append(marks.Spent, sessions.Count{Session: id, Spent: spent})
		}
	}
	return marks
}
