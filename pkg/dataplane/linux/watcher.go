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

// errorDelay is how long a socket that failed rests.
const errorDelay = 500 * time.Millisecond

// watcher receives notifications of changes. Their content is not used: everything is
// compared anew, so that lost messages (ENOBUFS) cost one more comparison.
type watcher struct {
	sock  *nl.NetlinkSocket // of some groups
	log   *slog.Logger
	dirty chan dataplane.Boottime // holds, while there is something to compare, since when

	closing sync.Once
	closed  chan struct{}
}

func newWatcher(s *netNS, log *slog.Logger, groups ...uint) (*watcher, error) {
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
		if err != nil && !errors.Is(err, unix.ENOBUFS) && w.backOff(err) {
			return
		}
		w.markDirty()
	}
}

// markDirty requests a comparison.
func (w *watcher) markDirty() {
	select {
	case w.dirty <- BootNow():
	default:
	}
}

// backOff keeps a socket that fails again and again from taking the CPU. It reports
// whether close caused the failure.
func (w *watcher) backOff(err error) (closed bool) {
	select {
	case <-w.closed:
		return true
	default:
	}
	w.log.Warn("netlink notifications failed, comparing everything again", "error", err)
	select {
	case <-w.closed:
		return true
	case <-time.After(errorDelay):
		return false
	}
}
