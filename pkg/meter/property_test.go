// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// step is something that happens some time after the step before.
type step struct {
	after time.Duration
	what  int
	due   time.Duration // from then, for a new due time
}

const (
	newDue = iota
	kernelEvent
	sinkFails
	sinkWorks
	kinds
)

var steps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
	return step{
		after: time.Duration(rapid.Int64Range(0, int64(8*time.Second)).Draw(t, "after")),
		what:  rapid.IntRange(0, kinds-1).Draw(t, "what"),
		due:   time.Duration(rapid.Int64Range(1, int64(40*time.Second)).Draw(t, "due")),
	}
}), 1, 40)

// day is what happened on a day.
type day struct {
	dues    []dataplane.Boottime // times that were made due
	events  int                  // of the kernel
	settles []settled
	ends    []dataplane.Event
	undone  bool // something is still due
	whole   time.Duration
}

// TestAnyDay plays random days: whatever happens, what is due is settled at that
// very instant, or again and again until it works; nothing stays unsettled
// for longer than a checkpoint; and the meter is never busy without a reason.
func TestAnyDay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := steps.Draw(rt, "day")
		var d day
		run(t, func(r *rig) { d = r.play(plan) })
		d.checkDues(rt)
		d.checkCheckpoints(rt)
		d.checkBusy(rt)
		if len(d.ends) != d.events {
			rt.Errorf("%d of %d events were handed on", len(d.ends), d.events)
		}
	})
}

func (r *rig) play(plan []step) (d day) {
	for _, s := range plan {
		r.pass(s.after)
		switch s.what {
		case newDue:
			due := r.sink.now().Add(s.due)
			d.dues = append(d.dues, due)
			r.sink.due(due)
		case kernelEvent:
			d.events++
			r.source.events <- exhausted(dataplane.Account(d.events))
		case sinkFails:
			r.sink.fail(errors.New("disk full"))
		case sinkWorks:
			r.sink.fail(nil)
		}
		synctest.Wait()
	}
	r.sink.fail(nil)
	r.pass(time.Minute)
	d.settles, d.ends = r.sink.calls()
	_, d.undone = r.sink.Due()
	d.whole = r.sink.now().Sub(r.start)
	return d
}

// checkDues: at each due time there was a settling, and one that failed was
// repeated within retry until it worked. A time that comes in between waits for
// that, for the Sink only names the earliest.
func (d day) checkDues(t *rapid.T) {
	for _, due := range d.dues {
		latest := due
		for _, s := range d.settles {
			switch {
			case s.at < due && s.err != nil:
				latest = max(due, s.at.Add(retry))
				continue
			case s.at < due:
				latest = due
				continue
			case s.at > latest:
				t.Errorf("due at %d: settled at %d, want %d; all: %v", due, s.at, latest, d.settles)
			}
			if s.err == nil {
				break
			}
			latest = s.at.Add(retry)
		}
	}
	if d.undone {
		t.Error("something due was never settled")
	}
}

func (d day) checkCheckpoints(t *rapid.T) {
	last := d.settles[0].at
	for _, s := range d.settles {
		if gap := s.at.Sub(last); gap > checkpoint {
			t.Errorf("not everything was settled for %s", gap)
		}
		if !s.due {
			last = s.at
		}
	}
}

// checkBusy: each settling is for a due time, for a checkpoint, or a retry.
func (d day) checkBusy(t *rapid.T) {
	most := 1 + len(d.dues) + int(d.whole/checkpoint) + len(d.ends)
	for _, s := range d.settles {
		if s.err != nil {
			most++
		}
	}
	if len(d.settles) > most {
		t.Errorf("settled %d times in %s, want at most %d", len(d.settles), d.whole, most)
	}
}
