// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// needKernel skips a test that cannot run here; never where nothing may be skipped.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// box is a router's network namespace with a folder of pins of its own.
type box struct {
	*lab.Host
	t      *testing.T
	bpffs  string
	log    *logbook
	clsact bool // attach by filters although there is tcx
}

func newBox(t *testing.T) *box {
	t.Helper()
	needKernel(t)
	l, err := lab.New("hs-dp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, l.Close()) })
	host, err := l.AddHost("router")
	check(t, err)
	return boxOf(t, host)
}

// needTCX skips on a kernel that is too old for links, and on no other.
func needTCX(t *testing.T) {
	t.Helper()
	needKernel(t)
	switch has, err := attach.HaveTCX(); {
	case err != nil:
		t.Fatal(err)
	case has:
	case kernel.AtLeast(kernel.Release(), 6, 6):
		t.Fatalf("kernel %s has no tcx", kernel.Release())
	default:
		t.Skipf("kernel %s has no tcx yet", kernel.Release())
	}
}

// modes runs a test with links and with filters.
func modes(t *testing.T, test func(b *box)) {
	t.Helper()
	t.Run("tcx", func(t *testing.T) {
		needTCX(t)
		test(newBox(t))
	})
	t.Run("clsact", func(t *testing.T) {
		b := newBox(t)
		b.clsact = true
		test(b)
	})
}

// boxOf also takes the enforcement down at the end of the test.
func boxOf(t *testing.T, host *lab.Host) *box {
	t.Helper()
	b := &box{Host: host, t: t, bpffs: fmt.Sprintf("%s/hs-test-%d-%x", pins.SystemBPFFS, os.Getpid(), pins.NewEpoch()), log: &logbook{}}
	t.Cleanup(func() {
		check(t, detachIn(b.bpffs, host.NetNS()))
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	return b
}

// veth adds a pair, name and name+"p", both up.
func (b *box) veth(name string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(b.t, b.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	check(b.t, b.Netlink().LinkSetUp(b.link(name)))
	check(b.t, b.Netlink().LinkSetUp(b.link(name+"p")))
}

func (b *box) link(name string) netlink.Link {
	b.t.Helper()
	l, err := b.Netlink().LinkByName(name)
	check(b.t, err)
	return l
}

// addr adds an address to an interface.
func (b *box) addr(ifname, cidr string) *netlink.Addr {
	b.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	check(b.t, err)
	check(b.t, b.Netlink().AddrAdd(b.link(ifname), a))
	return a
}

func (b *box) options(ifnames ...string) Options {
	var attach dataplane.AttachMode
	if b.clsact {
		attach = dataplane.Clsact
	}
	return Options{
		BPFFS:      b.bpffs,
		Interfaces: ifnames,
		MaxClients: 16,
		NetNS:      b.NetNS(),
		Log:        slog.New(slog.NewTextHandler(b.log, nil)),
		Attach:     attach,
	}
}

// open closes what it opened at the end of the test, unless the test does.
func (b *box) open(opts Options) *Dataplane {
	b.t.Helper()
	d, err := Open(opts)
	check(b.t, err)
	b.t.Cleanup(func() { closeOnce(b.t, d) })
	return d
}

func closeOnce(t *testing.T, d *Dataplane) {
	t.Helper()
	select {
	case <-d.closing:
	default:
		check(t, d.Close())
	}
}

// linkIDs returns the ids of the pinned links, by pin.
func (b *box) linkIDs() map[string]link.ID {
	b.t.Helper()
	ids := make(map[string]link.ID)
	pinned, err := pins.Names(pins.Folder{Root: b.bpffs}.Links())
	check(b.t, err)
	for _, pin := range pinned {
		if strings.HasSuffix(pin, pins.NewSuffix) { // being replaced
			continue
		}
		if id := b.linkInfo(pin).ID; id != 0 {
			ids[pin] = id
		}
	}
	return ids
}

// linkInfo is zero of a pin that is not there, as it is replaced now.
func (b *box) linkInfo(pin string) *link.Info {
	b.t.Helper()
	l, err := link.LoadPinnedLink(pins.Folder{Root: b.bpffs}.Links()+"/"+pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return new(link.Info)
	}
	check(b.t, err)
	defer func() { _ = l.Close() }()
	info, err := l.Info()
	check(b.t, err)
	return info
}

// filters lists a clsact hook of an interface.
func (b *box) filters(ifname string, dir int) []netlink.Filter {
	b.t.Helper()
	list, err := b.Netlink().FilterList(b.link(ifname), attach.ClsactParents[dir])
	check(b.t, err)
	return list
}

// ownFilter returns the agent's filter, or nil.
func ownFilter(filters []netlink.Filter) *netlink.BpfFilter {
	for _, f := range filters {
		if f, ok := f.(*netlink.BpfFilter); ok && strings.HasPrefix(f.Name, "hotspot-agent:") {
			return f
		}
	}
	return nil
}

// held names the interfaces that carry programs of the agent of this box. It reads the
// kernel and the pins as another process.
func (b *box) held(d *Dataplane) (names []string) {
	b.t.Helper()
	census := attach.NewCensus(d.pins)
	clsact, err := attach.NewClsact(d.pins, d.ns, census)
	check(b.t, err)
	for _, a := range []attach.Attacher{attach.NewTCX(d.pins, d.ns, census), clsact} {
		held, err := a.Held()
		check(b.t, err)
		for _, dev := range held {
			names = append(names, dev.Name)
		}
		a.Close()
	}
	return slices.Compact(names)
}

func (d *Dataplane) attachedTo(t *testing.T, name string) bool {
	t.Helper()
	for _, i := range d.Status().Interfaces {
		if i.Name == name {
			return i.Attached
		}
	}
	t.Fatalf("interface %s is not in the status", name)
	return false
}

// logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) has(words string) bool { return strings.Contains(l.String(), words) }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// within waits for a condition that must come about by itself.
func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

var (
	phone = dataplane.MAC{0x02, 0, 0x5e, 0, 0, 1}
	allow = dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit}
)
