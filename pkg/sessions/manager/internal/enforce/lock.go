// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// UnknownMAC is the key that is locked while a MAC gets its first device, or while a MAC
// is known to have none. It sorts before every device.
const UnknownMAC sessions.DeviceID = 0

// Locked is proof that the locks of some devices are held. A function that takes one
// requires the lock of the device that it changes. Only the holder of a device's lock
// changes the device's rule in the kernel, and what runs on it.
type Locked struct{ unlock func() }

// Unlock releases the locks; once.
func (l Locked) Unlock() { l.unlock() }

// Lock waits for the locks of devices, the smallest id first, so that two callers cannot
// wait for each other. No provider is called under them.
func (e *Enforcer) Lock(ids ...sessions.DeviceID) Locked {
	return Locked{keylock.LockAll(&e.locks, ids...)}
}

// LockOwner locks the device of a session as it was read, and returns the session as it
// is then. When the session went to another device meanwhile, that one is locked.
func (e *Enforcer) LockOwner(ctx context.Context, s sessions.Session) (sessions.Session, Locked, error) {
	for {
		held := e.Lock(s.Device)
		now, err := e.ledger.Session(ctx, s.ID)
		if err == nil && now.Device == s.Device {
			return now, held, nil
		}
		held.Unlock()
		if err != nil {
			return now, Locked{}, err
		}
		s = now
	}
}
