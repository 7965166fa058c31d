// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// MaxVisitors is how many are remembered: beyond it the one that was not seen for longest is
// forgotten. They take some 10 MB.
const MaxVisitors = 16_384

// visitors are devices that bought nothing. Their ids are reserved from the store, so that a
// device keeps the one it was seen with once it buys, and no other device ever gets it. Safe for
// concurrent use.
type visitors struct {
	mu     sync.Mutex
	limit  int
	order  *list.List // of *sessions.Device; the latest seen first
	byMAC  map[dataplane.MAC]*list.Element
	byID   map[sessions.DeviceID]*list.Element
	byIP   map[netip.Addr]*list.Element
	ids    idBlock
	blocks int // how many were reserved
}

// idBlock is reserved ids that are still free.
type idBlock struct{ next, end sessions.DeviceID }

// take returns 0 when none is left.
func (b *idBlock) take() (id sessions.DeviceID) {
	if b.next < b.end {
		id = b.next
		b.next++
	}
	return id
}

// newVisitors remembers at most limit of them.
func newVisitors(limit int) *visitors {
	return &visitors{
		limit: limit, order: list.New(), byMAC: make(map[dataplane.MAC]*list.Element),
		byID: make(map[sessions.DeviceID]*list.Element), byIP: make(map[netip.Addr]*list.Element),
	}
}

const (
	firstBlock   = 64 // few: a restart forgets what is left of a block
	largestBlock = 10_000
)

// blockSize is how many ids are to be reserved next: more with each block, as under a flood
// every one of them is a write.
func (v *visitors) blockSize() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return min(firstBlock<<min(v.blocks, 16), largestBlock)
}

// reserved adds n ids from first on. What is left of those before is not used any more.
func (v *visitors) reserved(first sessions.DeviceID, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ids = idBlock{first, first + sessions.DeviceID(n)}
	v.blocks++
}

// takeID returns an id that is reserved, 0 when there is none.
func (v *visitors) takeID() sessions.DeviceID {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ids.take()
}

// see remembers a device that has no row, with its address and hostname where these are
// given, and returns it. It reports false when a new one needs an id and none is reserved.
func (v *visitors) see(mac dataplane.MAC, ip netip.Addr, hostname string, now time.Time) (sessions.Device, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, known := v.byMAC[mac]
	if !known {
		id := v.ids.take()
		if id == 0 {
			return sessions.Device{}, false
		}
		at = v.add(&sessions.Device{ID: id, MAC: mac, Created: now, Visitor: true})
	}
	v.order.MoveToFront(at)
	d := deviceAt(at)
	d.Seen = now
	if hostname != "" {
		d.Hostname = hostname
	}
	if ip.IsValid() {
		v.moveTo(at, ip)
	}
	return *d, true
}

func (v *visitors) add(d *sessions.Device) *list.Element {
	if v.order.Len() >= v.limit {
		v.remove(v.order.Back())
	}
	at := v.order.PushFront(d)
	v.byMAC[d.MAC], v.byID[d.ID] = at, at
	return at
}

// moveTo makes ip the latest address of a visitor, and takes it from another one.
func (v *visitors) moveTo(at *list.Element, ip netip.Addr) {
	d := deviceAt(at)
	if owner := v.byIP[ip]; owner != at {
		v.release(ip)
	}
	before := d.IPs
	d.MoveTo(ip)
	for _, gone := range before {
		if !slices.Contains(d.IPs, gone) {
			delete(v.byIP, gone)
		}
	}
	v.byIP[ip] = at
}

// releaseIP takes an address from the visitor that had it: a device with a row has it now.
func (v *visitors) releaseIP(ip netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.release(ip)
}

func (v *visitors) release(ip netip.Addr) {
	at, taken := v.byIP[ip]
	if !taken {
		return
	}
	d := deviceAt(at)
	d.IPs = slices.DeleteFunc(slices.Clone(d.IPs), func(a netip.Addr) bool { return a == ip })
	delete(v.byIP, ip)
}

// forget removes the visitor of a MAC: it has a row now, or another device has its MAC.
func (v *visitors) forget(mac dataplane.MAC) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at, known := v.byMAC[mac]; known {
		v.remove(at)
	}
}

func (v *visitors) remove(at *list.Element) {
	d := v.order.Remove(at).(*sessions.Device)
	delete(v.byMAC, d.MAC)
	delete(v.byID, d.ID)
	for _, ip := range d.IPs {
		delete(v.byIP, ip)
	}
}

// findMAC returns the visitor that has a MAC.
func (v *visitors) findMAC(mac dataplane.MAC) (sessions.Device, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return found(v.byMAC[mac])
}

// findID returns the visitor that has an id.
func (v *visitors) findID(id sessions.DeviceID) (sessions.Device, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return found(v.byID[id])
}

// findIP returns the visitor that had an address last.
func (v *visitors) findIP(ip netip.Addr) (sessions.Device, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return found(v.byIP[ip])
}

// count is how many are remembered.
func (v *visitors) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.order.Len()
}

func found(at *list.Element) (sessions.Device, bool) {
	if at == nil {
		return sessions.Device{}, false
	}
	return *deviceAt(at), true // lists of addresses are replaced, never changed in place
}

func deviceAt(at *list.Element) *sessions.Device { return at.Value.(*sessions.Device) }
