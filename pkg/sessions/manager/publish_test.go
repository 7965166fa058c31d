// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// Events of the machine have their place among those of devices.
func TestPublish(t *testing.T) {
	w := newWorld(t, manager.Config{})
	subscription := w.Subscribe(0)
	defer subscription.Close()
	for seq, e := range []sessions.Event{
		{Type: sessions.InterfaceUnprotected, Interface: "br-lan"},
		{Type: sessions.InterfaceProtected, Interface: "br-lan", DurationMS: 12},
		{Type: sessions.HealthProblem, Reason: "redirected", Interface: "br-lan", Message: "to ifb0"},
	} {
		w.ok(w.Publish(w.ctx, e))
		e.Seq, e.Time = int64(seq)+1, w.clock.Now()
		got, err := subscription.Next(w.ctx)
		w.ok(err)
		if diff := cmp.Diff(e, got); diff != "" {
			t.Error(diff)
		}
	}
}
