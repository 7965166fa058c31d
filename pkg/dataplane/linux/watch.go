// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"log/slog"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

const (
	// checkEvery bounds how long a program that someone detached from a link stays
	// away: the kernel notifies of interfaces, addresses, qdiscs and filters, not of links.
	checkEvery = 500 * time.Millisecond
	// recheckDelay is when to compare once more after a notification: the kernel notifies
	// of filters before it removes them.
	recheckDelay = 20 * time.Millisecond
)

// state is what the watch found last, for readers. Its lock is held for copies
// alone, never over a call of the kernel.
type state struct {
	mu         sync.Mutex
	links      *links.Snapshot
	interfaces []dataplane.Interface
	problem    string // with the router's own addresses
}

func (s *state) currentLinks() *links.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links
}

func (s *state) setLinks(l *links.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = l
}

func (s *state) setInterfaces(list []dataplane.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interfaces = list
}

// setProblem returns whether it is another one than before.
func (s *state) setProblem(problem string) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = problem != s.problem
	s.problem = problem
	return changed
}

// current returns the interfaces, not to be changed, and the problem.
func (s *state) current() ([]dataplane.Interface, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.interfaces, s.problem
}

// watch keeps the router's addresses and the programs as they should be. One goroutine
// does all its I/O: Open's, then that of run. Others read the state.
type watch struct {
	snapshot   func() (*links.Snapshot, error)
	router     router
	interfaces *interfaces
	watcher    *links.Watcher
	state      *state
	log        *slog.Logger
}

// run compares after each notification, and every now and then, until closing.
func (w *watch) run(closing <-chan struct{}) {
	timer := time.NewTimer(checkEvery)
	defer timer.Stop()
	for {
		var notified dataplane.Boottime
		next := checkEvery
		select {
		case <-closing:
			return
		case notified = <-w.watcher.Dirty:
			w.retryRefresh()
			next = recheckDelay
		case <-timer.C:
		}
		timer.Reset(next)
		// Failures are in the state and were logged when they began; the next tick
		// tries again.
		_ = w.interfaces.attachAll(w.state.currentLinks(), notified)
	}
}

// refresh takes a snapshot of the links, and makes the router's own addresses in the
// kernel those of it. The problem is router.sync's.
func (w *watch) refresh() (problem string, err error) {
	now, err := w.snapshot()
	if err != nil {
		return "", err
	}
	w.state.setLinks(now)
	return w.router.sync(now)
}

func (w *watch) retryRefresh() {
	problem, err := w.refresh()
	if err != nil {
		problem = err.Error()
	}
	if w.state.setProblem(problem) && problem != "" {
		w.log.Error("the router's own addresses are not up to date", "error", problem)
	}
}
