// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// perfect is 200 top-ups in a second, all used but 40 bytes.
func perfect() outcome {
	const all = bought + 200*topUp
	return outcome{
		topUps: 200, during: time.Second,
		toppedUp: harness.Session{DataBytes: all},
		end:      harness.Session{DataBytes: all, DataUsedBytes: all - 40},
		carried:  lab.Count{Bytes: all - 40},
	}
}

func TestEveryPromiseHasItsRow(t *testing.T) {
	for want, spoil := range map[string]func(*outcome){
		"":                       func(*outcome) {},
		"beyond what was bought": func(o *outcome) { o.carried.Bytes += 41; o.end.DataUsedBytes += 41 },
		"bought and not used":    func(o *outcome) { o.carried.Bytes -= mtu; o.end.DataUsedBytes -= mtu },
		"miscounted":             func(o *outcome) { o.end.DataUsedBytes++ },
		"top-ups miscounted":     func(o *outcome) { o.toppedUp.DataBytes -= topUp },
	} {
		got := perfect()
		spoil(&got)
		out := report.New(io.Discard, io.Discard)
		got.report("", "fair", out)
		var crossed []string
		for _, row := range out.Crossed() {
			crossed = append(crossed, row.Metric)
		}
		if want == "" && len(crossed) > 0 || want != "" && !slices.Contains(crossed, want) {
			t.Errorf("beyond their bounds are %q, want %q", crossed, want)
		}
	}
}
