// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// BenchmarkSettle is a checkpoint of sessions that are all within their limits.
func BenchmarkSettle(b *testing.B) {
	const customers = 1000
	w := newWorld(b, manager.Config{LowBalancePercent: 10})
	for i := range customers {
		d, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: fmt.Sprintf("02:00:5e:%02x:%02x:01", i>>8, i&255)})
		w.ok(err)
		w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.TimeOrData, Time: 1000 * time.Hour, Bytes: 1 << 50})
		w.connect(d)
	}
	readings := w.kernel.Readings()
	settle := func() {
		w.clock.Advance(time.Millisecond)
		w.ok(w.Settle(w.ctx, func(yield func([]dataplane.Reading) bool) { yield(readings) }))
	}
	settle()
	b.ReportAllocs()
	for b.Loop() {
		for i := range readings {
			readings[i].Counters.DownBytes += 1000
		}
		settle()
	}
}
