// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// problemBook stores events, unless it is broken.
type problemBook struct {
	events []string
	broken bool
}

func (b *problemBook) publish(_ context.Context, e sessions.Event) error {
	if b.broken {
		return errors.New("disk full")
	}
	b.events = append(b.events, fmt.Sprintf("%s %s %s %q %d", e.Type, e.Reason, e.Interface, e.Message, e.DurationMS))
	return nil
}

// The kind: whatever goes wrong after the start has one event when it begins and one when
// it is over, however its wording changes meanwhile, also when the store is what fails.
func TestProblemEvents(t *testing.T) {
	gone := dataplane.Problem{Code: dataplane.InterfaceAbsent, Interface: "wlan0", Detail: "no such interface"}
	absent := gone
	absent.Detail = "still no such interface"
	shop, bank := dataplane.Problem{Code: providerUnavailable, Subject: "shop", Detail: "shop refused"}, dataplane.Problem{Code: providerUnavailable, Subject: "bank", Detail: "bank refused"}
	full := dataplane.Problem{Code: diskFull, Detail: "full"}
	for name, steps := range map[string][]struct {
		broken bool
		found  []dataplane.Problem
		want   []string
	}{
		"begins, changes its words, ends, comes again": {
			{found: []dataplane.Problem{gone}, want: []string{`health.problem interface_absent wlan0 "no such interface" 0`}},
			{found: []dataplane.Problem{absent}},
			{want: []string{`health.resolved interface_absent wlan0 "still no such interface" 2`}},
			{},
			{found: []dataplane.Problem{gone}, want: []string{`health.problem interface_absent wlan0 "no such interface" 0`}},
		},
		"two of one kind": {
			{found: []dataplane.Problem{shop, bank}, want: []string{`health.problem provider_unavailable  "shop refused" 0`, `health.problem provider_unavailable  "bank refused" 0`}},
			{found: []dataplane.Problem{bank}, want: []string{`health.resolved provider_unavailable  "shop refused" 1`}},
			{want: []string{`health.resolved provider_unavailable  "bank refused" 2`}},
		},
		"the store fails from begin to end": {
			{broken: true, found: []dataplane.Problem{full, gone}},
			{broken: true, found: []dataplane.Problem{full}},
			{want: []string{`health.problem disk_full  "full" 0`, `health.resolved disk_full  "full" 2`, `health.problem interface_absent wlan0 "no such interface" 0`, `health.resolved interface_absent wlan0 "no such interface" 1`}},
			{},
		},
		"the store fails at the end, and the problem is back": {
			{found: []dataplane.Problem{full}, want: []string{`health.problem disk_full  "full" 0`}},
			{broken: true},
			{found: []dataplane.Problem{full}},
			{want: []string{`health.resolved disk_full  "full" 3`}},
		},
	} {
		book := &problemBook{}
		r := problemReporter{publish: book.publish, log: slog.New(slog.DiscardHandler)}
		for i, step := range steps {
			book.events, book.broken = nil, step.broken
			r.update(t.Context(), dataplane.Boottime(i+1)*1_000_000, step.found)
			if diff := cmp.Diff(step.want, book.events); diff != "" {
				t.Errorf("%s, step %d (-want +got):\n%s", name, i, diff)
			}
		}
	}
}

// An agent that stops cannot read any more what works: nothing is over by that.
func TestProblemsAtTheStop(t *testing.T) {
	book := &problemBook{}
	r := problemReporter{publish: book.publish, log: slog.New(slog.DiscardHandler)}
	r.update(t.Context(), 1, []dataplane.Problem{{Code: diskFull}})
	stopped, stop := context.WithCancel(t.Context())
	stop()
	r.update(stopped, 2, nil)
	if len(book.events) != 1 {
		t.Error(book.events)
	}
}

func TestUnprotectedEvent(t *testing.T) {
	for _, c := range []struct {
		from dataplane.Unprotected
		want sessions.Event
	}{
		{dataplane.Unprotected{Interface: "lan", Cause: "gone"}, sessions.Event{Type: sessions.InterfaceUnprotected, Interface: "lan", Message: "gone"}},
		{dataplane.Unprotected{Interface: "lan", Over: true, Lasted: 11*time.Millisecond + 1}, sessions.Event{Type: sessions.InterfaceProtected, Interface: "lan", DurationMS: 12}},
	} {
		if diff := cmp.Diff(c.want, unprotectedEvent(c.from)); diff != "" {
			t.Error(diff)
		}
	}
}
