// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
)

const checkpoint = 15 * time.Second

// rig is a meter that runs in a bubble of fake time.
type rig struct {
	*testing.T
	source *source
	sink   *sink
	meter  *Meter
	log    *bytes.Buffer
	start  dataplane.Boottime
	stop   func() error // ends Run and returns what it returned
}

// run runs test in a bubble, with a meter that has settled once, at start.
func run(t *testing.T, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		const start = dataplane.Boottime(1_000_000_000_000)
		zero := time.Now()
		now := func() dataplane.Boottime { return start.Add(time.Since(zero)) }
		r := &rig{
			T: t, start: start, log: new(bytes.Buffer),
			source: &source{events: make(chan dataplane.Event, 64)},
			sink:   &sink{now: now, wake: make(chan struct{}, 1)},
		}
		r.meter = New(r.source, r.sink, Options{Checkpoint: checkpoint, Now: now, Log: slog.New(slog.NewTextHandler(r.log, nil))})
		r.meter.alarm = newRinger
		r.run()
		test(r)
		_ = r.stop()
	})
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.Context())
	result := make(chan error, 1)
	go func() { result <- r.meter.Run(ctx) }()
	r.stop = func() error {
		cancel()
		err := <-result
		r.stop = func() error { return err }
		return err
	}
	synctest.Wait()
}

// pass lets time pass, and everything that happens in it.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d) // fake
	synctest.Wait()
}

// wantSettles checks when everything was settled, counted from start.
func (r *rig) wantSettles(want ...time.Duration) {
	r.Helper()
	settles, _ := r.sink.calls()
	var got []time.Duration
	for _, s := range settles {
		got = append(got, s.at.Sub(r.start))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("settled at (-want +got):\n%s", diff)
	}
}

func exhausted(account dataplane.Account) dataplane.Event {
	return dataplane.Event{Kind: dataplane.Exhausted, Account: account}
}

func TestCheckpoints(t *testing.T) {
	run(t, func(r *rig) {
		r.pass(2*checkpoint + time.Second)
		r.wantSettles(0, checkpoint, 2*checkpoint)
		settles, _ := r.sink.calls()
		if settles[1].readings != 1 {
			r.Errorf("%d readings were settled, want the source's one", settles[1].readings)
		}
	})
}

func TestDue(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.due(r.start.Add(7 * time.Second))
		r.sink.due(r.start.Add(2*time.Second + 3*time.Nanosecond)) // earlier, and added later
		r.pass(10 * time.Second)
		r.wantSettles(0, 2*time.Second+3, 7*time.Second)
		r.pass(checkpoint) // the others' checkpoint did not move
		r.wantSettles(0, 2*time.Second+3, 7*time.Second, checkpoint)
		settles, _ := r.sink.calls()
		if !settles[1].due || !settles[2].due || settles[3].due {
			r.Errorf("settled %+v: want only what is due, until the checkpoint", settles)
		}
	})
}

// TestDueMoves: a top-up moves the end away; no settling happens at the old one.
func TestDueMoves(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.due(r.start.Add(2 * time.Second))
		r.pass(time.Second)
		r.sink.mu.Lock()
		r.sink.dues = nil
		r.sink.mu.Unlock()
		r.sink.due(r.start.Add(5 * time.Second))
		r.pass(5 * time.Second)
		r.wantSettles(0, 5*time.Second)
	})
}

// TestDueWhileSettling: what falls due during a settling is settled right after it.
func TestDueWhileSettling(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.slow(100 * time.Millisecond)
		r.sink.due(r.start.Add(time.Second))
		r.sink.due(r.start.Add(time.Second + time.Millisecond))
		r.pass(2 * time.Second)
		r.wantSettles(0, time.Second, time.Second+100*time.Millisecond)
	})
}

// TestDueThatStays: a Sink that does not end what is due must not burn the CPU.
func TestDueThatStays(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.keep()
		r.sink.due(r.start.Add(time.Second))
		r.pass(4 * time.Second)
		r.wantSettles(0, time.Second, 2*time.Second, 3*time.Second, 4*time.Second)
	})
}

func TestEventSettlesItsAccountAtOnce(t *testing.T) {
	run(t, func(r *rig) {
		r.pass(time.Second)
		r.source.events <- exhausted(7)
		synctest.Wait()
		_, ends := r.sink.calls()
		if diff := cmp.Diff([]dataplane.Event{exhausted(7)}, ends); diff != "" {
			r.Error(diff)
		}
		r.pass(checkpoint)
		r.wantSettles(0, checkpoint) // the event moved no checkpoint
	})
}

// TestDrain: an account counts once, however many of its events are waiting.
func TestDrain(t *testing.T) {
	waiting := make(chan dataplane.Event, 8)
	for _, account := range []dataplane.Account{7, 8, 1, 7} {
		waiting <- exhausted(account)
	}
	want := []dataplane.Event{exhausted(1), exhausted(7), exhausted(8)}
	if diff := cmp.Diff(want, drain(exhausted(1), waiting)); diff != "" {
		t.Error(diff)
	}
	close(waiting)
	if diff := cmp.Diff(want[:1], drain(exhausted(1), waiting)); diff != "" {
		t.Errorf("with a closed channel: %s", diff)
	}
}

// TestBurst: many accounts at once are settled together.
func TestBurst(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.slow(time.Second)
		r.sink.due(r.start.Add(time.Second))
		r.pass(1500 * time.Millisecond) // in the middle of a settling
		for account := range dataplane.Account(40) {
			r.source.events <- exhausted(account + 1)
		}
		r.pass(time.Second)
		if _, ends := r.sink.calls(); len(ends) != 0 {
			r.Errorf("%d accounts were settled one by one", len(ends))
		}
		r.wantSettles(0, time.Second, 2*time.Second)
	})
}

func TestEventsClosed(t *testing.T) {
	run(t, func(r *rig) {
		close(r.source.events)
		r.pass(checkpoint)
		r.wantSettles(0, checkpoint)
	})
}

func TestEventThatFailsIsMadeUpFor(t *testing.T) {
	run(t, func(r *rig) {
		r.pass(time.Second)
		r.sink.fail(errors.New("disk full"))
		r.source.events <- exhausted(7)
		synctest.Wait()
		r.wantLog(`no count is lost" during="settling an account that ended"`, 1)
		r.sink.fail(nil)
		r.pass(retry)
		r.wantSettles(0, 2*time.Second)
	})
}

func TestFailureIsLoggedOnceAndRetried(t *testing.T) {
	run(t, func(r *rig) {
		r.sink.fail(errors.New("disk full"))
		r.pass(checkpoint + 10*time.Second)
		settles, _ := r.sink.calls()
		if n := len(settles); n != 12 { // at 0 and 15 s, then each second
			r.Errorf("settled %d times", n)
		}
		r.wantLog(`no count is lost" during=settling`, 1)
		r.sink.fail(nil)
		r.pass(time.Minute)
		r.wantLog(`no count is lost" during=settling`, 1)
		r.wantLog("works again", 1)
	})
}

func (r *rig) wantLog(what string, times int) {
	r.Helper()
	if n := strings.Count(r.log.String(), what); n != times {
		r.Errorf("%q was logged %d times, want %d:\n%s", what, n, times, r.log)
	}
}

// TestTimeIsSettledWithoutCounters: a kernel that cannot be read stops no clock.
func TestTimeIsSettledWithoutCounters(t *testing.T) {
	run(t, func(r *rig) {
		broken := errors.New("no map")
		r.source.fail(broken)
		r.sink.mu.Lock()
		r.sink.blind = broken
		r.sink.mu.Unlock()
		r.sink.due(r.start.Add(time.Second))
		r.pass(5 * time.Second)
		r.wantSettles(0, time.Second, 2*time.Second, 3*time.Second, 4*time.Second, 5*time.Second)
		r.wantLog(`no count is lost" during="reading the counters"`, 1)
		r.source.fail(nil)
		r.pass(time.Second)
		settles, _ := r.sink.calls()
		if last := settles[len(settles)-1]; last.readings != 1 {
			r.Errorf("after the counters came back: %+v", last)
		}
		r.wantLog("works again", 1)
	})
}

func TestSettlesAtTheEnd(t *testing.T) {
	run(t, func(r *rig) {
		r.pass(time.Second)
		if err := r.stop(); err != nil {
			r.Errorf("Run returned %v", err)
		}
		r.wantSettles(0, time.Second)
	})
	run(t, func(r *rig) {
		disk := errors.New("disk full")
		r.sink.fail(disk)
		if err := r.stop(); !errors.Is(err, disk) {
			r.Errorf("Run returned %v, want the error of the last settling", err)
		}
	})
}

func TestNoTimer(t *testing.T) {
	m := New(&source{}, &sink{}, Options{})
	want := errors.New("no descriptors left")
	m.alarm = func() (alarm, error) { return nil, want }
	if err := m.Run(t.Context()); !errors.Is(err, want) {
		t.Errorf("Run returned %v", err)
	}
}

// TestBootAlarm measures the real timer: never early, and less than 1 ms later than a thread
// that sleeps until the same time. What both are late is the machine's.
func TestBootAlarm(t *testing.T) {
	a, err := newBootAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	a.set(time.Hour) // replaced below
	var late, asleep []time.Duration
	for i := range 40 {
		at := linux.BootNow().Add(time.Duration(i%8)*time.Millisecond + 300*time.Microsecond)
		woken := make(chan time.Duration, 1)
		go func() { woken <- sleepUntil(at).Sub(at) }()
		a.set(at.Sub(linux.BootNow()))
		<-a.rung()
		late = append(late, linux.BootNow().Sub(at))
		asleep = append(asleep, <-woken)
	}
	slices.Sort(late)
	slices.Sort(asleep)
	t.Logf("late: least %s, median %s, most %s; a sleeping thread %s, %s, %s", late[0], late[20], late[39], asleep[0], asleep[20], asleep[39])
	if late[0] < 0 {
		t.Errorf("rang %s early", -late[0])
	}
	if late[10]-asleep[10] > time.Millisecond {
		t.Errorf("three in four rings are more than %s late, three in four threads %s", late[10], asleep[10])
	}
	a.set(-time.Second) // what is past rings at once
	<-a.rung()
}

func sleepUntil(at dataplane.Boottime) dataplane.Boottime {
	until := unix.NsecToTimespec(int64(at))
	for unix.ClockNanosleep(unix.CLOCK_BOOTTIME, unix.TIMER_ABSTIME, &until, nil) == unix.EINTR {
	}
	return linux.BootNow()
}
