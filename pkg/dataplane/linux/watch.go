// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// checkEvery bounds how long a program that someone detached from a link stays
// away: the kernel notifies of interfaces, addresses, qdiscs and filters, not of links.
const checkEvery = 500 * time.Millisecond

// watcher hears of changes. What changed is not looked at: everything is compared
// anew, so that lost messages (ENOBUFS) cost nothing but a look.
type watcher struct {
	sock  *nl.NetlinkSocket // tells of changes in some groups
	log   *slog.Logger
	dirty chan dataplane.Boottime // holds, while there is something to look at, since when

	closing sync.Once
	closed  chan struct{}
}

func newWatcher(s *space, log *slog.Logger, groups ...uint) (*watcher, error) {
	sock, err := s.subscribe(groups...)
	if err != nil {
		return nil, err
	}
	return &watcher{sock: sock, log: log, dirty: make(chan dataplane.Boottime, 1), closed: make(chan struct{})}, nil
}

func (w *watcher) close() {
	w.closing.Do(func() {
		close(w.closed)
		w.sock.Close()
	})
}

// receive marks dirty until close.
func (w *watcher) receive() {
	for {
		_, _, err := w.sock.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) && w.pause(err) {
			return
		}
		w.mark()
	}
}

// mark has somebody look.
func (w *watcher) mark() {
	select {
	case w.dirty <- BootNow():
	default:
	}
}

// pause keeps a socket that fails again and again from taking the CPU. It reports
// whether the failure was close's doing.
func (w *watcher) pause(err error) (closed bool) {
	select {
	case <-w.closed:
		return true
	default:
	}
	w.log.Warn("netlink notifications failed: looking at everything again", "error", err)
	select {
	case <-w.closed:
		return true
	case <-time.After(checkEvery):
		return false
	}
}

// settles is when to look once more after the kernel told of something: it tells of
// filters before it takes them off.
const settles = 20 * time.Millisecond

// watch keeps addresses and programs as they should be until Close.
func (d *Dataplane) watch() {
	look := time.NewTimer(checkEvery)
	defer look.Stop()
	for {
		var heard dataplane.Boottime
		next := checkEvery
		select {
		case <-d.closing:
			return
		case heard = <-d.watcher.dirty:
			d.lookAgain()
			next = settles
		case <-look.C:
		}
		look.Reset(next)
		// Failures are in Status and were logged when they began; the next tick
		// tries again.
		_ = d.attachAll(heard)
	}
}

func (d *Dataplane) lookAgain() {
	problem := ""
	if err := d.look(); err != nil {
		problem = err.Error()
	}
	d.seen.Lock()
	defer d.seen.Unlock()
	if problem != "" && problem != d.seen.problem {
		d.opts.Log.Error("the router's own addresses are not up to date", "error", problem)
	}
	d.seen.problem = problem
}
