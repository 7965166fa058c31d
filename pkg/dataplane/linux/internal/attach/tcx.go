// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// TCX attaches by pinned links: the pin holds the link, the link holds the
// program on the interface, whether or not the agent lives.
type TCX struct {
	pins  pins.Folder
	ns    *links.NetNS
	ids   programIDs
	links map[string]link.Link // by pin name
}

// NewTCX attaches in the namespace of s.
func NewTCX(p pins.Folder, s *links.NetNS) *TCX {
	return &TCX{pins: p, ns: s, ids: make(programIDs), links: make(map[string]link.Link)}
}

// TCXAttachTypes are the hooks, by direction.
var TCXAttachTypes = [bpf.Directions]ebpf.AttachType{bpf.Upload: ebpf.AttachTCXIngress, bpf.Download: ebpf.AttachTCXEgress}

// Mode returns dataplane.TCX.
func (*TCX) Mode() dataplane.AttachMode { return dataplane.TCX }

// LinkPin is the name of the pin of an interface's link.
func LinkPin(ifname string, dir int) string { return pins.PinName(ifname) + "-" + HookNames[dir] }

// Ensure is that of Attacher.
func (t *TCX) Ensure(dev Device, dir int, prog *ebpf.Program) (Change, error) {
	pin := LinkPin(dev.Name, dir)
	held, err := t.open(pin)
	if err != nil {
		return Unchanged, err
	}
	if held != nil {
		info, err := held.Info()
		if err != nil {
			return Unchanged, fmt.Errorf("link %s: %w", pin, err)
		}
		if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == dev.Index {
			return t.update(pin, held, info, prog)
		}
		// The interface of that link is gone, or someone detached it.
	}
	return t.attach(pin, dev, dir, prog)
}

// open returns the link of a pin, or nil when there is none.
func (t *TCX) open(pin string) (link.Link, error) {
	if l := t.links[pin]; l != nil {
		return l, nil
	}
	l, err := link.LoadPinnedLink(filepath.Join(t.pins.Links(), pin), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, kernel.Explain("pinned link "+pin, err)
	}
	t.links[pin] = l
	return l, nil
}

// update sees that an attached link runs prog and is pinned.
func (t *TCX) update(pin string, held link.Link, info *link.Info, prog *ebpf.Program) (Change, error) {
	id, err := t.ids.of(prog)
	if err != nil {
		return Unchanged, err
	}
	did := Unchanged
	if info.Program != id {
		if err := held.Update(prog); err != nil {
			return Unchanged, kernel.Explain("replacing the program of link "+pin, err)
		}
		did = Replaced
	}
	if _, err := os.Lstat(filepath.Join(t.pins.Links(), pin)); errors.Is(err, fs.ErrNotExist) {
		return did, t.repin(pin, held)
	}
	return did, nil
}

// repin pins a link whose pin someone removed. It takes a second handle, as
// one handle remembers where it was pinned. To ask the kernel for one by the link's id
// would need CAP_SYS_ADMIN.
func (t *TCX) repin(pin string, held link.Link) error {
	own := held.(interface{ FD() int }).FD()
	fd, err := unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	l, err := link.NewFromFD(fd)
	if err != nil {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	if err := pins.ReplacePin(l, filepath.Join(t.pins.Links(), pin)); err != nil {
		_ = l.Close()
		return fmt.Errorf("pinning link %s: %w", pin, err)
	}
	t.remember(pin, l)
	return nil
}

// attach puts prog before all others on the hook: no other program's "pass" may precede
// the default deny.
func (t *TCX) attach(pin string, dev Device, dir int, prog *ebpf.Program) (Change, error) {
	var l link.Link
	err := t.ns.Run(func() (err error) {
		l, err = link.AttachTCX(link.TCXOptions{
			Interface: dev.Index,
			Program:   prog,
			Attach:    TCXAttachTypes[dir],
			Anchor:    link.Head(),
		})
		return err
	})
	if err != nil {
		return Unchanged, kernel.Explain(fmt.Sprintf("attaching to %s %s", dev.Name, HookNames[dir]), err)
	}
	if err := pins.ReplacePin(l, filepath.Join(t.pins.Links(), pin)); err != nil {
		_ = l.Close()
		return Unchanged, kernel.Explain("pinning link "+pin, err)
	}
	t.remember(pin, l)
	return Attached, nil
}

func (t *TCX) remember(pin string, l link.Link) {
	if old := t.links[pin]; old != nil {
		_ = old.Close()
	}
	t.links[pin] = l
}

// Release is that of Attacher.
func (t *TCX) Release(ifname string) error {
	for dir := range bpf.Directions {
		if err := t.detach(LinkPin(ifname, dir)); err != nil {
			return err
		}
	}
	return nil
}

// detach also breaks links that another process holds open. A link whose
// interface is gone is detached already.
func (t *TCX) detach(pin string) error {
	l, err := t.open(pin)
	if l == nil || err != nil {
		return err
	}
	delete(t.links, pin)
	defer func() { _ = l.Close() }()
	if err := os.Remove(filepath.Join(t.pins.Links(), pin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	if info, err := l.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex == 0 {
		return nil
	}
	if err := l.Detach(); err != nil {
		return kernel.Explain("detaching link "+pin, err)
	}
	return nil
}

// Interfaces is that of Attacher.
func (t *TCX) Interfaces() ([]string, error) {
	pinned, err := pins.Names(t.pins.Links())
	if err != nil {
		return nil, fmt.Errorf("pinned links: %w", err)
	}
	var list []string
	for _, pin := range pinned {
		if name, ok := strings.CutSuffix(pin, "-"+HookNames[bpf.Upload]); ok {
			list = append(list, pins.IfName(name))
		} else if name, ok := strings.CutSuffix(pin, "-"+HookNames[bpf.Download]); ok {
			list = append(list, pins.IfName(name))
		}
	}
	return list, nil
}

// Close closes the links. Their pins keep the programs attached.
func (t *TCX) Close() {
	for _, l := range t.links {
		_ = l.Close()
	}
}
