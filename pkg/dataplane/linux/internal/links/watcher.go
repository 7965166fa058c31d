// SPDX-License-Identifier: Apache-2.0

package links

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// errorDelay is how long a socket that failed rests.
const errorDelay = 500 * time.Millisecond

// Watcher receives notifications of changes. It gathers which interfaces they are about; how
// these are now is then asked of the kernel, as some notifications have few attributes. Of
// addresses it gathers what was added and removed: the kernel lists them only all together.
// Where notifications were lost (ENOBUFS) all is compared.
type Watcher struct {
	Sock  *nl.NetlinkSocket // of some groups
	log   *slog.Logger
	Dirty chan struct{} // holds one while there is something to compare

	mu       sync.Mutex
	gathered Changes

	closing sync.Once
	closed  chan struct{}
}

// NewWatcher subscribes to multicast groups of rtnetlink in the namespace of s.
func NewWatcher(s *NetNS, log *slog.Logger, groups ...uint) (*Watcher, error) {
	sock, err := s.subscribe(groups...)
	if err != nil {
		return nil, err
	}
	return &Watcher{Sock: sock, log: log, Dirty: make(chan struct{}, 1), closed: make(chan struct{})}, nil
}

// Close ends Receive and BackOff. It may be called again.
func (w *Watcher) Close() {
	w.closing.Do(func() {
		close(w.closed)
		w.Sock.Close()
	})
}

// Receive gathers changes until Close.
func (w *Watcher) Receive() {
	for {
		messages, _, err := w.Sock.Receive()
		if err != nil {
			if !errors.Is(err, unix.ENOBUFS) && w.BackOff(err) {
				return
			}
			w.MarkDirty()
			continue
		}
		w.gather(messages)
	}
}

func (w *Watcher) gather(messages []syscall.NetlinkMessage) {
	w.mu.Lock()
	for _, m := range messages {
		w.gathered.add(m)
	}
	w.mu.Unlock()
	w.signal()
}

// MarkDirty requests a comparison of everything.
func (w *Watcher) MarkDirty() {
	w.mu.Lock()
	w.gathered.at()
	w.gathered.All = true
	w.mu.Unlock()
	w.signal()
}

func (w *Watcher) signal() {
	select {
	case w.Dirty <- struct{}{}:
	default:
	}
}

// Take returns what was gathered, and begins anew.
func (w *Watcher) Take() Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.gathered
	w.gathered = Changes{}
	return taken
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

// Changes is what the kernel notified of.
type Changes struct {
	Since dataplane.Boottime // when the first arrived; 0: none
	All   bool               // anything may have changed
	links map[int]bool       // indexes of interfaces
	hooks map[int]bool       // indexes of interfaces whose qdiscs or filters changed
	addrs []addrChange       // in the order in which they happened
}

// Concern reports whether an interface, by its index, or what is on its hooks changed.
func (c *Changes) Concern(index int) bool { return c.All || c.links[index] || c.hooks[index] }

// Join adds which interfaces another one is about, for Concern.
func (c *Changes) Join(o Changes) {
	c.Since, c.All = max(c.Since, o.Since), c.All || o.All
	for index := range o.links {
		set(&c.links, index)
	}
	for index := range o.hooks {
		set(&c.hooks, index)
	}
}

// at notes the time of the first change.
func (c *Changes) at() {
	if c.Since == 0 {
		c.Since = kernel.BootNow()
	}
}

func (c *Changes) add(m syscall.NetlinkMessage) {
	c.at()
	// struct ifinfomsg, ifaddrmsg and tcmsg have the index of the interface in one place
	// (rtnetlink(7)).
	const from, to = 4, 8
	if len(m.Data) < to {
		c.All = true
		return
	}
	index := int(int32(binary.NativeEndian.Uint32(m.Data[from:to])))
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		set(&c.links, index)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, err := parseAddr(m.Data); err == nil {
			c.addrs = append(c.addrs, addrChange{a, m.Header.Type == unix.RTM_DELADDR})
		} else {
			c.All = true
		}
	default:
		set(&c.hooks, index)
	}
}

func set(of *map[int]bool, index int) {
	if *of == nil {
		*of = make(map[int]bool)
	}
	(*of)[index] = true
}
