// SPDX-License-Identifier: Apache-2.0

package linux

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
)

// tcxAttacher attaches by pinned links: the pin holds the link, the link holds the
// program on the interface, whether or not the agent lives.
type tcxAttacher struct {
	pins  pins
	ns    *netNS
	ids   programIDs
	links map[string]link.Link // by pin name
}

func newTCXAttacher(p pins, s *netNS) *tcxAttacher {
	return &tcxAttacher{pins: p, ns: s, ids: make(programIDs), links: make(map[string]link.Link)}
}

var tcxAttachTypes = [directions]ebpf.AttachType{upload: ebpf.AttachTCXIngress, download: ebpf.AttachTCXEgress}

func (*tcxAttacher) mode() dataplane.AttachMode { return dataplane.TCX }

func linkPin(ifname string, dir int) string { return pinName(ifname) + "-" + hookNames[dir] }

func (t *tcxAttacher) ensure(dev device, dir int, prog *ebpf.Program) (change, error) {
	pin := linkPin(dev.name, dir)
	held, err := t.open(pin)
	if err != nil {
		return unchanged, err
	}
	if held != nil {
		info, err := held.Info()
		if err != nil {
			return unchanged, fmt.Errorf("link %s: %w", pin, err)
		}
		if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == dev.index {
			return t.update(pin, held, info, prog)
		}
		// The interface of that link is gone, or someone detached it.
	}
	return t.attach(pin, dev, dir, prog)
}

// open returns the link of a pin, or nil when there is none.
func (t *tcxAttacher) open(pin string) (link.Link, error) {
	if l := t.links[pin]; l != nil {
		return l, nil
	}
	l, err := link.LoadPinnedLink(filepath.Join(t.pins.links(), pin), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explain("pinned link "+pin, err)
	}
	t.links[pin] = l
	return l, nil
}

// keep sees that an attached link runs prog and is pinned.
func (t *tcxAttacher) update(pin string, held link.Link, info *link.Info, prog *ebpf.Program) (change, error) {
	id, err := t.ids.of(prog)
	if err != nil {
		return unchanged, err
	}
	did := unchanged
	if info.Program != id {
		if err := held.Update(prog); err != nil {
			return unchanged, explain("replacing the program of link "+pin, err)
		}
		did = replaced
	}
	if _, err := os.Lstat(filepath.Join(t.pins.links(), pin)); errors.Is(err, fs.ErrNotExist) {
		return did, t.repin(pin, held)
	}
	return did, nil
}

// repin pins a link whose pin someone removed. It takes a second handle, as
// one handle remembers where it was pinned. To ask the kernel for one by the link's id
// would need CAP_SYS_ADMIN.
func (t *tcxAttacher) repin(pin string, held link.Link) error {
	own := held.(interface{ FD() int }).FD()
	fd, err := unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	l, err := link.NewFromFD(fd)
	if err != nil {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	if err := replacePin(l, filepath.Join(t.pins.links(), pin)); err != nil {
		_ = l.Close()
		return fmt.Errorf("pinning link %s: %w", pin, err)
	}
	t.remember(pin, l)
	return nil
}

// attach puts prog before all others on the hook: nobody's "pass" may precede
// the default deny.
func (t *tcxAttacher) attach(pin string, dev device, dir int, prog *ebpf.Program) (change, error) {
	var l link.Link
	err := t.ns.run(func() (err error) {
		l, err = link.AttachTCX(link.TCXOptions{
			Interface: dev.index,
			Program:   prog,
			Attach:    tcxAttachTypes[dir],
			Anchor:    link.Head(),
		})
		return err
	})
	if err != nil {
		return unchanged, explain(fmt.Sprintf("attaching to %s %s", dev.name, hookNames[dir]), err)
	}
	if err := replacePin(l, filepath.Join(t.pins.links(), pin)); err != nil {
		_ = l.Close()
		return unchanged, explain("pinning link "+pin, err)
	}
	t.remember(pin, l)
	return attached, nil
}

func (t *tcxAttacher) remember(pin string, l link.Link) {
	if old := t.links[pin]; old != nil {
		_ = old.Close()
	}
	t.links[pin] = l
}

func (t *tcxAttacher) release(ifname string) error {
	for dir := range directions {
		if err := t.detach(linkPin(ifname, dir)); err != nil {
			return err
		}
	}
	return nil
}

// detach also breaks links that another process holds open. A link whose
// interface is gone is detached already.
func (t *tcxAttacher) detach(pin string) error {
	l, err := t.open(pin)
	if l == nil || err != nil {
		return err
	}
	delete(t.links, pin)
	defer func() { _ = l.Close() }()
	if err := os.Remove(filepath.Join(t.pins.links(), pin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", pin, err)
	}
	if info, err := l.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex == 0 {
		return nil
	}
	if err := l.Detach(); err != nil {
		return explain("detaching link "+pin, err)
	}
	return nil
}

func (t *tcxAttacher) interfaces() ([]string, error) {
	pinned, err := names(t.pins.links())
	if err != nil {
		return nil, fmt.Errorf("pinned links: %w", err)
	}
	var list []string
	for _, pin := range pinned {
		if name, ok := strings.CutSuffix(pin, "-"+hookNames[upload]); ok {
			list = append(list, ifName(name))
		} else if name, ok := strings.CutSuffix(pin, "-"+hookNames[download]); ok {
			list = append(list, ifName(name))
		}
	}
	return list, nil
}

func (t *tcxAttacher) close() {
	for _, l := range t.links {
		_ = l.Close()
	}
}
