// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// sight has the kernel see the n-th MAC at an address or on a port.
func (w *world) sight(s sessions.Session, n byte, at string, evidence dataplane.NeighState) {
	w.Helper()
	seen := dataplane.Neighbor{MAC: mac(n), Account: s.Account(), State: evidence}
	if ip, err := netip.ParseAddr(at); err == nil {
		seen.Addr = ip
	} else {
		seen.Port = at
	}
	w.ok(w.Sight(w.ctx, seen))
}

// conflicts are those since a mark, as "differs reason: before > after".
func (w *world) conflicts(mark int64, want ...string) {
	w.Helper()
	list, err := w.Events(w.ctx, mark, 0)
	w.ok(err)
	var got []string
	for _, e := range list {
		if e.Type == sessions.ClientConflict {
			got = append(got, fmt.Sprintf("%s %s: %s > %s", e.Differs, e.Reason, e.Before, e.After))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("conflicts (-want +got):\n%s", diff)
	}
}

// connected is a world with one connected device at 10.0.0.7.
func connected(t *testing.T, cfg manager.Config) (*world, sessions.Device, sessions.Session) {
	t.Helper()
	w := newWorld(t, cfg)
	d, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac(1).String(), IP: "10.0.0.7", Hostname: "phone"})
	w.ok(err)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	return w, d, s
}

const (
	remembered = dataplane.NeighStale
	heard      = dataplane.NeighUpdated
	answered   = dataplane.NeighReachable
)

// A MAC that turns up elsewhere is reported once; two machines that use it are
// distinguished from one that moved.
func TestConflictsByTheKernel(t *testing.T) {
	w, _, s := connected(t, manager.Config{})
	mark := w.mark()
	w.sight(s, 1, "10.0.0.7", answered)
	w.sight(s, 1, "10.0.0.8", remembered)
	w.sight(s, 1, "10.0.0.8", heard) // what was there before grows old
	w.sight(s, 1, "lan1", answered)
	w.conflicts(mark)

	w.sight(s, 1, "10.0.0.9", heard)
	moved := "address moved: 10.0.0.7 > 10.0.0.9"
	w.conflicts(mark, moved)
	w.sight(s, 1, "10.0.0.7", heard) // its entry grows old
	w.conflicts(mark, moved)
	w.sight(s, 1, "10.0.0.7", answered)
	shared := "address shared: 10.0.0.9 > 10.0.0.7"
	w.conflicts(mark, moved, shared)
	for range 5 {
		w.sight(s, 1, "10.0.0.9", answered)
		w.sight(s, 1, "10.0.0.7", answered)
	}
	w.conflicts(mark, moved, shared)

	w.sight(s, 1, "lan2", answered)
	w.conflicts(mark, moved, shared, "port moved: lan1 > lan2")
	w.clock.Advance(2 * time.Minute)
	w.sight(s, 1, "lan1", answered) // went back later: moved again
	w.conflicts(mark, moved, shared, "port moved: lan1 > lan2")
}

// What the portal registers counts as seen, too.
func TestConflictsByThePortal(t *testing.T) {
	w, _, s := connected(t, manager.Config{})
	mark := w.mark()
	_, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac(1).String(), IP: "10.0.0.7", Hostname: "laptop"})
	w.ok(err)
	_, err = w.Observe(w.ctx, mac(1), netip.MustParseAddr("2001:db8::7"), "laptop")
	w.ok(err)
	_, err = w.Observe(w.ctx, mac(1), netip.MustParseAddr("10.0.0.9"), "")
	w.ok(err)
	w.sight(s, 1, "10.0.0.9", answered) // reported already
	w.conflicts(mark, "hostname moved: phone > laptop", "address moved: 10.0.0.7 > 10.0.0.9")
}

// What is seen of a session that is over, or of a MAC that it left, is ignored.
func TestSeenTooLate(t *testing.T) {
	w, d, s := connected(t, manager.Config{})
	mark := w.mark()
	w.sight(s, 2, "10.0.0.9", answered)
	w.disconnect(d)
	w.sight(s, 1, "10.0.0.9", answered)
	w.conflicts(mark)
}

// A machine that goes through addresses is reported a bounded number of times a minute.
func TestConflictsAreBounded(t *testing.T) {
	w, _, s := connected(t, manager.Config{})
	count := func() (n int) {
		list, err := w.Events(w.ctx, 0, 0)
		w.ok(err)
		for _, e := range list {
			if e.Type == sessions.ClientConflict {
				n++
			}
		}
		return n
	}
	for i := range 200 {
		w.sight(s, 1, fmt.Sprintf("10.0.1.%d", i), answered)
	}
	if n := count(); n != 8 {
		t.Errorf("200 addresses at once were reported %d times, want 8", n)
	}
	w.clock.Advance(time.Minute)
	w.sight(s, 1, "10.0.2.1", answered)
	if n := count(); n != 9 {
		t.Errorf("a minute later %d, want 9", n)
	}
}

// located answers for the kernel's neighbour table.
type located map[string]dataplane.NeighState

func (l located) find(dataplane.MAC) (found []dataplane.Neighbor, err error) {
	for ip, evidence := range l {
		found = append(found, dataplane.Neighbor{Addr: netip.MustParseAddr(ip), State: evidence})
	}
	return found, nil
}

func (w *world) boundTo(n byte, want [4]byte) {
	w.Helper()
	rules := maps.Collect(w.kernel.Rules())
	if rule, ok := rules[mac(n)]; !ok || rule.Bound != want {
		w.Fatalf("the kernel binds to %v (a rule: %t), want %v", rule.Bound, ok, want)
	}
}

func TestBindToTheAddress(t *testing.T) {
	table := located{"10.0.0.7": answered}
	w, d, s := connected(t, manager.Config{Bind: sessions.BindIP, Locate: table.find})
	first, second := [4]byte{10, 0, 0, 7}, [4]byte{10, 0, 0, 9}
	w.boundTo(1, first)

	// Another machine with the MAC asks the portal to connect it.
	table["10.0.0.9"] = answered
	_, err := w.Observe(w.ctx, mac(1), netip.MustParseAddr("10.0.0.9"), "")
	w.ok(err)
	w.connect(d)
	w.sight(s, 1, "10.0.0.9", answered)
	w.boundTo(1, first)
	_, err = w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddTime: ptr(time.Hour)})
	w.ok(err)
	w.boundTo(1, first)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.boundTo(1, first)

	// The customer has a new lease: the old address answers no more.
	table["10.0.0.7"] = remembered
	w.connect(d)
	w.boundTo(1, second)
	w.ok(w.Reconcile(w.ctx))
	w.boundTo(1, second)

	// Disconnect and Connect bind it anew, whatever is there.
	w.disconnect(d)
	_, err = w.Observe(w.ctx, mac(1), netip.MustParseAddr("10.0.0.7"), "")
	w.ok(err)
	w.connect(d)
	w.boundTo(1, first)
}

// A device of which no address is known is bound to the first that is seen.
func TestBindLearns(t *testing.T) {
	w := newWorld(t, manager.Config{Bind: sessions.BindIP})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.boundTo(1, [4]byte{})
	w.sight(s, 1, "lan1", answered)
	w.sight(s, 1, "10.0.0.6", remembered)
	w.boundTo(1, [4]byte{})
	w.sight(s, 1, "10.0.0.7", heard)
	w.sight(s, 1, "10.0.0.9", answered)
	w.boundTo(1, [4]byte{10, 0, 0, 7})

	_, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(2).String())})
	w.ok(err)
	w.boundTo(2, [4]byte{})
	w.sight(s, 2, "10.0.0.20", answered)
	w.boundTo(2, [4]byte{10, 0, 0, 20})
}

// A stale entry of the kernel binds no device, nor does it free one that is bound.
func TestOldNeighboursDoNotBind(t *testing.T) {
	table := located{"10.0.0.6": remembered}
	w := newWorld(t, manager.Config{Bind: sessions.BindIP, Locate: table.find})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.boundTo(1, [4]byte{})
	w.sight(s, 1, "10.0.0.7", answered)
	w.boundTo(1, [4]byte{10, 0, 0, 7})
	w.connect(d)
	w.boundTo(1, [4]byte{10, 0, 0, 7})
	table["10.0.0.9"] = heard
	w.connect(d)
	w.boundTo(1, [4]byte{10, 0, 0, 9})
}

// A device that keeps its MAC keeps what it is bound to, whatever else is new of it.
func TestUpdatesKeepTheBinding(t *testing.T) {
	table := located{"10.0.0.7": answered}
	w, d, _ := connected(t, manager.Config{Bind: sessions.BindIP, Locate: table.find})
	_, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(1).String()), Hostname: ptr("tablet")})
	w.ok(err)
	w.ok(w.Reconcile(w.ctx))
	w.boundTo(1, [4]byte{10, 0, 0, 7})

	w.kernel.SetMax(1) // no room for another MAC beside the old one
	_, err = w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(2).String())})
	w.code(err, sessions.Full)
	w.ok(w.Reconcile(w.ctx))
	w.boundTo(1, [4]byte{10, 0, 0, 7})
}

func TestBindToThePort(t *testing.T) {
	w, d, s := connected(t, manager.Config{Bind: sessions.BindPort})
	mark := w.mark()
	w.sight(s, 1, "lan1", remembered)
	w.sight(s, 1, "10.0.0.9", answered)
	w.passes(d, true)
	w.sight(s, 1, "lan2", answered)
	w.passes(d, false)
	w.happened(mark, "client.conflict(moved)", "session.paused(port)", "client.disconnected(port)", "client.conflict(moved)")
	w.connect(d)
	w.sight(s, 1, "lan2", remembered)
	w.passes(d, true)
}

// Nothing is bound where the configuration does not say so.
func TestBindNone(t *testing.T) {
	w, d, s := connected(t, manager.Config{})
	w.boundTo(1, [4]byte{})
	w.sight(s, 1, "lan1", answered)
	w.sight(s, 1, "lan2", answered)
	w.passes(d, true)
}

// A change is remembered when the transaction that reports it committed: one that failed
// is reported by the next observation.
func TestConflictOfAFailedTransaction(t *testing.T) {
	for name, observe := range map[string]func(w *world, s sessions.Session) error{
		"registered": func(w *world, _ sessions.Session) error {
			_, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac(1).String(), IP: "10.0.0.8"})
			return err
		},
		"seen": func(w *world, s sessions.Session) error {
			return w.Sight(w.ctx, dataplane.Neighbor{
				MAC: mac(1), Account: s.Account(), Addr: netip.MustParseAddr("10.0.0.8"), State: dataplane.NeighReachable,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, s := connected(t, manager.Config{})
			w.store.BeforeCommit(func() error { return errors.New("disk full") })
			if err := observe(w, s); err == nil {
				t.Fatal("no error, want that of the store")
			}
			w.store.BeforeCommit(nil)
			w.conflicts(0)
			w.ok(observe(w, s))
			w.ok(observe(w, s))
			w.conflicts(0, "address moved: 10.0.0.7 > 10.0.0.8")
		})
	}
}
