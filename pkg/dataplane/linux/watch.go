// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
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
	// restFactor is how many times as long as a comparison took the next one waits, while
	// the kernel's notifications gather: however many come, they cost a tenth of a CPU.
	restFactor = 10
	leastRest  = 2 * time.Millisecond
	mostRest   = 200 * time.Millisecond
)

// state is what the watch found last, for readers. Its lock is held for copies
// alone, never over a call of the kernel.
type state struct {
	mu         sync.Mutex
	links      *links.Snapshot
	interfaces []dataplane.Interface
	problems   map[part][]dataplane.Problem
	behind     []netip.Addr // hosts that the firewall sends packets for the router to
}

func (s *state) setBehind(addrs []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = addrs
}

func (s *state) currentBehind() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
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

// part is what a problem in the state was found by: each replaces its own.
type part string

// The parts that find problems, beside the interfaces of the state.
const (
	byHooks        part = "hooks"        // what else is on the hooks of interfaces
	byRouter       part = "router"       // the router's own addresses
	bySurroundings part = "surroundings" // what is beside the programs
	byGarden       part = "garden"       // addresses of names in the walled garden
)

// setProblems replaces what a part found, and returns whether that is another finding.
func (s *state) setProblems(by part, found ...dataplane.Problem) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !slices.Equal(found, s.problems[by])
	if s.problems == nil {
		s.problems = make(map[part][]dataplane.Problem)
	}
	s.problems[by] = found
	return changed
}

// current returns the interfaces, not to be changed, and a copy of the problems.
func (s *state) current() ([]dataplane.Interface, []dataplane.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []dataplane.Problem
	for _, by := range slices.Sorted(maps.Keys(s.problems)) {
		problems = append(problems, s.problems[by]...)
	}
	return s.interfaces, problems
}

// watch keeps the router's addresses and the programs as they should be. One goroutine
// does all its I/O: Open's, then that of run. Others read the state.
type watch struct {
	snapshot   func(before *links.Snapshot, c links.Changes) (*links.Snapshot, error)
	router     router
	synced     *links.Snapshot // of which the kernel has the router's own addresses
	interfaces *interfaces
	watcher    *links.Watcher
	state      *state
	log        *slog.Logger

	syncedBehind []netip.Addr // and what the firewall sends packets to
}

// run compares what the kernel notifies of, and all every now and then, until closing.
func (w *watch) run(closing <-chan struct{}) {
	all, again := time.NewTicker(checkEvery), time.NewTimer(checkEvery)
	defer all.Stop()
	defer again.Stop()
	var recheck links.Changes
	for {
		select {
		case <-closing:
			return
		case <-w.watcher.Dirty:
			began, changes := time.Now(), w.watcher.Take()
			w.compare(changes)
			if recheck.Since == 0 {
				again.Reset(recheckDelay)
			}
			recheck.Join(changes)
			if !pause(closing, min(max(restFactor*time.Since(began), leastRest), mostRest)) {
				return
			}
		case <-again.C:
			_ = w.interfaces.attachThose(w.state.currentLinks(), 0, recheck.Concern)
			recheck = links.Changes{}
		case <-all.C:
			_ = w.interfaces.attachAll(w.state.currentLinks())
		}
	}
}

// compare does what changed. Failures are in the state and were logged when they began; the
// next check tries again.
func (w *watch) compare(c links.Changes) {
	w.retryRefresh(c)
	_ = w.interfaces.attachThose(w.state.currentLinks(), c.Since, c.Concern)
}

// pause waits, and reports whether closing did not end meanwhile.
func pause(closing <-chan struct{}, d time.Duration) bool {
	select {
	case <-closing:
		return false
	case <-time.After(d):
		return true
	}
}

// refresh takes a snapshot of the links, and makes the router's own addresses in the
// kernel those of it.
func (w *watch) refresh(c links.Changes) error {
	now, err := w.snapshot(w.state.currentLinks(), c)
	if err != nil {
		w.watcher.MarkDirty() // c is lost: only all can be compared
		w.synced = nil
		return err
	}
	w.state.setLinks(now)
	behind := w.state.currentBehind()
	if now.SameAddresses(w.synced) && slices.Equal(behind, w.syncedBehind) {
		return nil
	}
	w.synced, w.syncedBehind = nil, behind
	found, err := w.router.sync(now)
	if err != nil {
		return err
	}
	if w.state.setProblems(byRouter, found...) {
		for _, p := range found {
			w.log.Error("the kernel's tables are full", "problem", p.Detail)
		}
	}
	w.synced = now
	return nil
}

func (w *watch) retryRefresh(c links.Changes) {
	err := w.refresh(c)
	if err == nil {
		return
	}
	if w.state.setProblems(byRouter, dataplane.Problem{Code: dataplane.RouterAddresses, Detail: err.Error()}) {
		w.log.Error("the router's own addresses are not up to date", "error", err)
	}
}
