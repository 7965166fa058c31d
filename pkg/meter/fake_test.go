// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// ringer is an alarm on Go's timers, which synctest knows.
type ringer struct {
	timer *time.Timer
	ring  chan struct{}
}

func newRinger() (alarm, error) {
	return &ringer{timer: time.NewTimer(time.Hour), ring: make(chan struct{}, 1)}, nil
}

func (r *ringer) set(d time.Duration) {
	r.timer.Stop()
	r.timer = time.AfterFunc(d, func() {
		select {
		case r.ring <- struct{}{}:
		default:
		}
	})
}
func (r *ringer) rung() <-chan struct{} { return r.ring }
func (r *ringer) close()                { r.timer.Stop() }

// source is a kernel whose one account grows by a byte at each reading.
type source struct {
	mu     sync.Mutex
	reads  uint64
	err    error
	events chan dataplane.Event
}

func (s *source) ReadAll(visit func([]dataplane.Reading) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.err != nil {
		return s.err
	}
	visit([]dataplane.Reading{{Account: 1, Counters: dataplane.Counters{UpBytes: s.reads}}})
	return nil
}

func (s *source) Events() <-chan dataplane.Event { return s.events }

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// settled is one call of Settle.
type settled struct {
	at       dataplane.Boottime
	readings int
	err      error
	due      bool // of SettleDue
}

// sink records its calls, and ends what is due when it settles.
type sink struct {
	mu      sync.Mutex
	now     func() dataplane.Boottime
	dues    []dataplane.Boottime // sorted
	stuck   bool                 // what is due never ends
	err     error
	blind   error         // of SettleDue: counters cannot be read
	took    time.Duration // how long each Settle takes
	settles []settled
	ends    []dataplane.Event
	wake    chan struct{}
}

func (s *sink) Settle(_ context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	n := 0
	for some := range readings {
		n += len(some)
	}
	return s.settle(n, false)
}

func (s *sink) SettleDue(context.Context) error {
	s.mu.Lock()
	blind := s.blind
	s.mu.Unlock()
	if blind != nil {
		return blind
	}
	return s.settle(0, true)
}

func (s *sink) settle(readings int, due bool) error {
	s.mu.Lock()
	now := s.now()
	s.settles = append(s.settles, settled{now, readings, s.err, due})
	took := s.took
	s.mu.Unlock()
	time.Sleep(took) // without the lock: for synctest a goroutine that waits for one is not idle
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !s.stuck {
		s.dues = slices.DeleteFunc(s.dues, func(due dataplane.Boottime) bool { return due <= now })
	}
	return s.err
}

func (s *sink) Ended(_ context.Context, e dataplane.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, e)
	return s.err
}

func (s *sink) Due() (dataplane.Boottime, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dues) == 0 {
		return 0, false
	}
	return s.dues[0], true
}

func (s *sink) Wake() <-chan struct{} { return s.wake }

// due adds a time, like a Connect does.
func (s *sink) due(at dataplane.Boottime) {
	s.mu.Lock()
	s.dues = append(s.dues, at)
	slices.Sort(s.dues)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// slow makes each Settle take a while.
func (s *sink) slow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = d
}

// keep leaves due what is due.
func (s *sink) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = true
}

// calls returns a copy of what was called.
func (s *sink) calls() ([]settled, []dataplane.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.settles), slices.Clone(s.ends)
}
