// SPDX-License-Identifier: Apache-2.0

package links

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// errorDelay is how long a socket that failed rests.
const errorDelay = 500 * time.Millisecond

// Watcher receives notifications of changes. Their content is not used: everything is
// compared anew, so that lost messages (ENOBUFS) cost one more comparison.
type Watcher struct {
	Sock  *nl.NetlinkSocket // of some groups
	log   *slog.Logger
	Dirty chan dataplane.Boottime // holds, while there is something to compare, since when

	closing sync.Once
	closed  chan struct{}
}

// NewWatcher subscribes to multicast groups of rtnetlink in the namespace of s.
func NewWatcher(s *NetNS, log *slog.Logger, groups ...uint) (*Watcher, error) {
	sock, err := s.subscribe(groups...)
	if err != nil {
		return nil, err
	}
	return &Watcher{Sock: sock, log: log, Dirty: make(chan dataplane.Boottime, 1), closed: make(chan struct{})}, nil
}

// Close ends Receive and BackOff. It may be called again.
func (w *Watcher) Close() {
	w.closing.Do(func() {
		close(w.closed)
		w.Sock.Close()
	})
}

// Receive marks dirty until close.
func (w *Watcher) Receive() {
	for {
		_, _, err := w.Sock.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) && w.BackOff(err) {
			return
		}
		w.MarkDirty()
	}
}

// MarkDirty requests a comparison.
func (w *Watcher) MarkDirty() {
	select {
	case w.Dirty <- kernel.BootNow():
	default:
	}
}

// BackOff keeps a socket that fails again and again from taking the CPU. It reports
// whether close caused the failure.
func (w *Watcher) BackOff(err error) (closed bool) {
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
