// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// box is a router's network namespace with a folder of pins of its own.
type box struct {
	*lab.Host
	t      *testing.T
	bpffs  string
	attach dataplane.AttachMode
}

// newBox skips a test that cannot run here; never where nothing may be skipped. What the
// test enforces is detached at its end.
func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("hs-doctor")
	check(t, err)
	t.Cleanup(func() { check(t, l.Close()) })
	host, err := l.AddHost("router")
	check(t, err)
	b := &box{Host: host, t: t, bpffs: fmt.Sprintf("%s/hs-test-%d-%x", pins.SystemBPFFS, os.Getpid(), pins.NewEpoch())}
	t.Cleanup(func() { check(t, b.Do(func() error { return linux.Detach(b.bpffs) })) })
	return b
}

// newTCXBox skips on a kernel that is too old for links, and on no other.
func newTCXBox(t *testing.T) *box {
	t.Helper()
	b := newBox(t)
	switch has, err := attach.HaveTCX(); {
	case err != nil:
		t.Fatal(err)
	case has:
	case kernel.AtLeast(kernel.Release(), 6, 6):
		t.Fatalf("kernel %s has no tcx", kernel.Release())
	default:
		t.Skipf("kernel %s has no tcx yet", kernel.Release())
	}
	return b
}

// modes runs a test with links and with filters.
func modes(t *testing.T, test func(b *box)) {
	t.Helper()
	t.Run("tcx", func(t *testing.T) { test(newTCXBox(t)) })
	t.Run("clsact", func(t *testing.T) {
		b := newBox(t)
		b.attach = dataplane.Clsact
		test(b)
	})
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

func (b *box) options(ifnames ...string) linux.Options {
	return linux.Options{BPFFS: b.bpffs, Interfaces: ifnames, MaxClients: 16, NetNS: b.NetNS(), Attach: b.attach}
}

// open leaves it to the test to close the dataplane before the programs are detached.
func (b *box) open(opts linux.Options) *linux.Dataplane {
	b.t.Helper()
	d, err := linux.Open(opts)
	check(b.t, err)
	return d
}

// renamePrograms makes the pinned programs those of another version.
func (b *box) renamePrograms() {
	b.t.Helper()
	dir := pins.Folder{Root: b.bpffs}.Programs()
	list, err := pins.Names(dir)
	check(b.t, err)
	for i, name := range list {
		check(b.t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, "other-"+string(rune('a'+i)))))
	}
}

// attachForeign attaches a program of another on a tcx hook of an interface.
func (b *box) attachForeign(ifname string, hook ebpf.AttachType, at link.Anchor) {
	b.t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "foreign",
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	check(b.t, err)
	b.t.Cleanup(func() { _ = prog.Close() })
	var l link.Link
	check(b.t, b.Do(func() (err error) {
		l, err = link.AttachTCX(link.TCXOptions{Interface: b.link(ifname).Attrs().Index, Program: prog, Attach: hook, Anchor: at})
		return err
	}))
	b.t.Cleanup(func() { _ = l.Close() })
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
