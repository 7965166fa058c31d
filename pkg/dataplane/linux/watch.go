// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

const (
	// checkEvery bounds how long a program that someone detached from a link stays
	// away: the kernel notifies of interfaces, addresses, qdiscs and filters, not of links.
	checkEvery = 500 * time.Millisecond
	// fullEvery is at how many checks all about an interface is read, its pins included; in
	// between only what hangs on its hooks.
	fullEvery = 3
	// lookEvery is at how many checks what is beside the programs is looked at.
	lookEvery = 2
	// recheckDelay is when to compare once more after a notification: the kernel notifies
	// of filters before it removes them.
	recheckDelay = 20 * time.Millisecond
	// restFactor is how many times as long as a comparison took the next one waits, while
	// the kernel's notifications gather: however many come, they cost a tenth of a CPU.
	restFactor = 10
	leastRest  = 2 * time.Millisecond
	mostRest   = 200 * time.Millisecond
)

// watch keeps the router's addresses and the programs as they should be. One goroutine
// does all its I/O: Open's, then that of run. Others read the state.
type watch struct {
	snapshot   func(before *links.Snapshot, c links.Changes) (*links.Snapshot, error)
	router     router
	synced     *links.Snapshot // of which the kernel has the router's own addresses
	interfaces *interfaces
	watcher    *links.Watcher
	beside     *surroundings
	state      *state
	log        *slog.Logger

	checks int

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
			w.check()
		}
	}
}

// check finds what the kernel does not notify of. Nearly always that is nothing, and all
// of it then is done with one wake-up and a few system calls.
func (w *watch) check() {
	w.checks++
	if w.checks%fullEvery == 0 || !w.interfaces.undisturbed() {
		_ = w.interfaces.attachAll(w.state.currentLinks())
	}
	if w.checks%lookEvery == 0 {
		w.beside.look()
		w.state.signal()
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
