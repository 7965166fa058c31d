// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// What the trial looks for it must see.
func TestLostPurchases(t *testing.T) {
	sold := session{ID: 1, Device: 7, Type: "data", DataBytes: 1000, ExpDays: 3}
	torn := sold
	torn.DataBytes = 999
	over := record{session: sold, Used: 1001}
	for name, test := range map[string]struct {
		rows    map[int64]record
		gone    bool
		lost    int64
		failure string
	}{
		"all is there":            {rows: map[int64]record{1: {session: sold, Used: 1000}}},
		"it is lost":              {lost: 1, failure: "was sold as"},
		"half of it is there":     {rows: map[int64]record{1: {session: torn}}, lost: 1, failure: "was sold as"},
		"more was used":           {rows: map[int64]record{1: over}, failure: "used 1001 of 1000"},
		"it was not sold":         {rows: map[int64]record{1: {session: sold}, 2: {}}, failure: "was not sold"},
		"it is deleted, and gone": {gone: true},
		"it is deleted and there": {gone: true, rows: map[int64]record{1: {session: sold}}, failure: "was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			trial := &trial{callers: []*caller{{sales: []*session{&sold}, gone: map[int64]bool{1: test.gone}}}}
			var row report.Row
			if test.rows == nil {
				test.rows = map[int64]record{}
			}
			if lost := trial.lostPurchases(test.rows, &row); lost != test.lost {
				t.Errorf("%d lost, want %d", lost, test.lost)
			}
			failures := strings.Join(row.Failures, "\n")
			if test.failure == "" && failures != "" || !strings.Contains(failures, test.failure) {
				t.Errorf("failures %q, want %q", failures, test.failure)
			}
		})
	}
}

func TestListener(t *testing.T) {
	for name, test := range map[string]struct {
		seqs   []int64
		broken int
	}{
		"all":   {[]int64{1, 2, 3}, 0},
		"a gap": {[]int64{1, 3, 4}, 1},
		"twice": {[]int64{1, 2, 2, 3}, 1},
		"late":  {[]int64{2, 3}, 1},
	} {
		l := newListener(name, nil)
		for _, seq := range test.seqs {
			l.hear(fmt.Appendf(nil, `{"seq":%d,"type":"session.created","session_id":5}`, seq))
		}
		if len(l.broken) != test.broken {
			t.Errorf("%s: broken is %q", name, l.broken)
		}
		if l.created[5] != len(test.seqs) {
			t.Errorf("%s: heard of %d purchases of %d", name, l.created[5], len(test.seqs))
		}
	}
}

func TestGrown(t *testing.T) {
	before := traces{files: []string{"a", "b"}, descriptors: 5, sockets: 1, goroutines: 9}
	if more := before.grown(before); len(more) > 0 {
		t.Errorf("the same is taken for more: %q", more)
	}
	now := traces{files: []string{"a", "c"}, descriptors: 6, sockets: 2, goroutines: 10}
	got := strings.Join(now.grown(before), "; ")
	const want = "left behind: c; gone: b; descriptors: 6, and 5 before; sockets: 2, and 1 before; goroutines: 10, and 9 before"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
