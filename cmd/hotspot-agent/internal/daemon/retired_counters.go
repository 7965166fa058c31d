// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// recoverRetired stores what the kernel's maps of another version had counted, before
// they are removed. It is stored as a checkpoint, and so settled once, whenever the agent
// is killed. Where it cannot be stored the agent starts all the same, and usage since the
// last checkpoint is not debited.
func recoverRetired(plane *linux.Dataplane, store *sqlite.Store, bootID string, log *slog.Logger) {
	retired, err := plane.Retired()
	if err != nil {
		log.Warn("maps of another version not read", "error", err)
		return
	}
	if err := storeRetired(store, retired, bootID, log); err != nil {
		log.Error("counters of another version's maps not stored", "error", err)
		return
	}
	if err := plane.RemoveRetired(); err != nil {
		log.Warn("maps of another version not removed", "error", err)
	}
}

func storeRetired(store *sqlite.Store, retired []dataplane.Retired, bootID string, log *slog.Logger) error {
	if len(retired) == 0 {
		return nil
	}
	last, err := store.Checkpoint()
	if err != nil {
		return err
	}
	for _, past := range retired {
		checkpoint := checkpointOf(past, bootID)
		checkpoint.Known = last.KnownAt(bootID, past.Until) // the maps do not know it
		if err := store.PutCheckpoint(checkpoint); err != nil {
			return err
		}
		log.Info("counters of another version's maps stored", "accounts", len(past.Spent))
	}
	return nil
}

func checkpointOf(past dataplane.Retired, bootID string) sessions.Checkpoint {
	checkpoint := sessions.Checkpoint{Boot: bootID, At: past.Until, Epoch: past.Epoch}
	for account, spent := range past.Spent {
		if !sessions.IsTrusted(account) {
			checkpoint.Spent = append(checkpoint.Spent, sessions.Count{Account: account, Spent: spent})
		}
	}
	return checkpoint
}
