// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

func TestInterfaceEvents(t *testing.T) {
	w := newWorld(t, manager.Config{})
	subscription := w.Subscribe(0)
	defer subscription.Close()
	w.ok(w.Unprotected(w.ctx, "br-lan"))
	w.ok(w.Protected(w.ctx, "br-lan", 11*time.Millisecond+1))
	now := w.clock.Now()
	for _, want := range []sessions.Event{
		{Seq: 1, Time: now, Type: sessions.InterfaceUnprotected, Interface: "br-lan"},
		{Seq: 2, Time: now, Type: sessions.InterfaceProtected, Interface: "br-lan", DurationMS: 12},
	} {
		got, err := subscription.Next(w.ctx)
		w.ok(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}
