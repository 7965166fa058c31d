// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// The kind of fault that these tests are of: programs like ours, of another folder, on an
// interface of ours. Each denies the devices that the other lets in, and neither is missing.

// twin is another agent, with a folder of its own, in the same namespace.
func (b *box) twin() *box {
	twin := boxOf(b.t, b.Host)
	twin.clsact = b.clsact
	return twin
}

func TestAnotherAgentOnTheInterface(t *testing.T) {
	needTCX(t)
	for name, mode := range map[string]struct{ first, second bool }{
		"tcx": {false, false}, "clsact": {true, true}, "tcx, then clsact": {false, true}, "clsact, then tcx": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.clsact = mode.first
			b.veth("lan")
			b.veth("other")
			d := b.open(b.options("lan"))
			twin := b.twin()
			twin.clsact = mode.second
			if second, err := Open(twin.options("other", "lan")); err == nil {
				closeOnce(t, second)
				t.Error("two agents on one interface")
			} else if !strings.Contains(err.Error(), b.bpffs) || !strings.Contains(err.Error(), twin.bpffs) || !strings.Contains(err.Error(), "lan") {
				t.Errorf("the error does not name the two folders and the interface: %v", err)
			}
			// Interfaces of their own are no conflict: neither takes the other's programs off.
			second := twin.open(twin.options("other"))
			check(t, second.Close())
			check(t, detachIn(twin.bpffs, b.NetNS()))
			if got := b.order(d, "lan", bpf.Upload); !slices.Equal(got, []string{"ours"}) || !d.Status().Healthy {
				t.Errorf("the first agent's interface has %v, status %+v", got, d.Status().Problems)
			}
		})
	}
}

// A folder that no agent has open, of a former configuration, is taken over without a gap,
// and what was counted there is not lost.
func TestFormerFolderIsTakenOver(t *testing.T) {
	needTCX(t)
	for name, mode := range map[string]struct{ first, second bool }{
		"tcx": {false, false}, "clsact": {true, true}, "tcx, then clsact": {false, true}, "clsact, then tcx": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.clsact = mode.first
			b.veth("lan")
			d := b.open(b.options("lan"))
			check(t, d.Grant(phone, allow))
			b.count(allow.Account, 1500)
			epoch := d.maps.Epoch
			check(t, d.Close())

			twin := b.twin()
			twin.clsact = mode.second
			d = twin.open(twin.options("lan"))
			for dir := range bpf.Directions {
				if got := b.order(d, "lan", dir); !slices.Equal(got, []string{"ours"}) {
					t.Errorf("on the hook: %v", got)
				}
			}
			if s := d.Status(); !s.Healthy {
				t.Errorf("status: %+v", s.Problems)
			}
			if _, err := os.Stat(b.bpffs); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the former folder is still there: %v", err)
			}
			retired, err := d.Retired()
			check(t, err)
			if len(retired) != 1 || retired[0].Epoch != epoch || retired[0].Spent[allow.Account] != 1500 {
				t.Errorf("retired: %+v", retired)
			}
		})
	}
}

// A folder that has programs on other interfaces too is another agent's: it keeps those, and
// what it counted.
func TestFormerFolderKeepsOtherInterfaces(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		b.veth("guest")
		check(t, b.open(b.options("lan", "guest")).Close())
		twin := b.twin()
		check(t, twin.open(twin.options("lan")).Close())
		d := b.open(b.options("guest"))
		if got := b.order(d, "guest", bpf.Upload); !slices.Equal(got, []string{"ours"}) {
			t.Errorf("on the hook: %v", got)
		}
		if b.log.has("another version") {
			t.Error("its maps were taken away")
		}
	})
}

// Programs of another agent that come later are a problem while they are there.
func TestCopyThatComesLater(t *testing.T) {
	needTCX(t)
	b := newBox(t)
	b.veth("lan")
	b.veth("other")
	d := b.open(b.options("lan"))
	twin := b.twin()
	twin.open(twin.options("other"))
	var program string
	for _, name := range twin.programPins() {
		if strings.HasPrefix(name, bpf.ProgramNames[bpf.Upload]) {
			program = name
		}
	}
	prog, err := ebpf.LoadPinnedProgram(filepath.Join(twin.bpffs, "programs", program), nil)
	check(t, err)
	defer func() { _ = prog.Close() }()
	var l link.Link
	index := b.link("lan").Attrs().Index
	check(t, b.Do(func() (err error) {
		l, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: ebpf.AttachTCXIngress})
		return err
	}))
	d.begins(t, dataplane.ForeignCopy, "lan", twin.bpffs)
	check(t, l.Close())
	d.ends(t, dataplane.ForeignCopy, "lan")
}
