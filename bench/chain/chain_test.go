// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"io"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const ms = time.Millisecond

func TestAGapIsWhatDidNotArrive(t *testing.T) {
	stamps := []lab.Stamp{{Sequence: 0, At: 0}, {Sequence: 1, At: 9 * ms}, {Sequence: 11, At: 15 * ms}, {Sequence: 12, At: 16 * ms}}
	got := gaps(stamps)
	if len(got) != 1 || got[0] != (gap{lost: 9, took: 6*ms - time.Second/perSecond}) {
		t.Errorf("got %+v: a sender that pauses is no gap, 9 packets in 6 ms are one", got)
	}
}

func TestAStreamThatNeverStopsHasNoGap(t *testing.T) {
	out := report.New(io.Discard, io.Discard)
	stream := []lab.Stamp{{Sequence: 0, At: 0}, {Sequence: 1, At: ms}}
	purchase{name: "time", times: 1, goal: report.AtMost(0)}.report([][]lab.Stamp{stream, stream}, out)
	for _, row := range out.Rows() {
		if row.Value != 0 || !row.Goal.Met(row.Value) {
			t.Errorf("%s is %v", row.Metric, row.Value)
		}
	}
}
