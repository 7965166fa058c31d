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

// TCX attaches by pinned links: the pin holds the link, the link holds the program on the
// device, whether or not the agent lives. What is on a device is asked of the device: names
// of pins are for people, as interfaces are renamed, and a link follows its device into
// another namespace, where another one may have the same index.
type TCX struct {
	pins     pins.Folder
	ns       *links.NetNS
	census   *Census
	ids      programIDs
	held     map[link.ID]*heldLink // all that are pinned; nil: not read yet
	contests contests
	alone    map[hookKey]alone // hooks that have ours and no other, as Ensure left them
	query    query
}

// heldLink is a link of ours.
type heldLink struct {
	link.Link
	id  link.ID
	pin string // its name in the folder of links
}

// NewTCX attaches in the namespace of s.
func NewTCX(p pins.Folder, s *links.NetNS, c *Census) *TCX {
	return &TCX{pins: p, ns: s, census: c, ids: make(programIDs), contests: make(contests), alone: make(map[hookKey]alone)}
}

// TCXAttachTypes are the hooks, by direction.
var TCXAttachTypes = [bpf.Directions]ebpf.AttachType{bpf.Upload: ebpf.AttachTCXIngress, bpf.Download: ebpf.AttachTCXEgress}

// Mode returns dataplane.TCX.
func (*TCX) Mode() dataplane.AttachMode { return dataplane.TCX }

// LinkPin is the name of the pin of an interface's link.
func LinkPin(ifname string, dir int) string { return pins.PinName(ifname) + "-" + HookNames[dir] }

// sparePin is the name of a link's pin while LinkPin is another's.
func sparePin(ifname string, dir int, id link.ID) string {
	return fmt.Sprintf("%s:%d", LinkPin(ifname, dir), id)
}

// pinnedFor returns the interface that a pin was named after.
func pinnedFor(pin string) string {
	for _, hook := range HookNames {
		if at := strings.LastIndex(pin, "-"+hook); at > 0 {
			return pins.IfName(pin[:at])
		}
	}
	return pins.IfName(pin)
}

// Read is that of Attacher.
func (t *TCX) Read(dev Device, dir int) (Hook, error) {
	if err := t.openPinned(); err != nil {
		return nil, err
	}
	on, err := queryTCX(t.ns, dev, dir)
	if err != nil {
		return nil, err
	}
	hook := make(Hook, len(on))
	for i, p := range on {
		id, _ := p.LinkID()
		hook[i] = Program{ID: p.ID, link: id, Own: t.held[id] != nil}
		if !hook[i].Own {
			t.census.identify(&hook[i])
		}
	}
	return hook, nil
}

// openPinned opens the pinned links, once: from then on this process alone changes them.
func (t *TCX) openPinned() error {
	if t.held != nil {
		return nil
	}
	pinned, err := pins.Names(t.pins.Links())
	if err != nil {
		return fmt.Errorf("pinned links: %w", err)
	}
	held := make(map[link.ID]*heldLink)
	for _, pin := range pinned {
		l, err := link.LoadPinnedLink(filepath.Join(t.pins.Links(), pin), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return kernel.Explain("pinned link "+pin, err)
		}
		info, err := l.Info()
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("link %s: %w", pin, err)
		}
		held[info.ID] = &heldLink{Link: l, id: info.ID, pin: pin}
	}
	t.held = held
	return nil
}

// Ensure is that of Attacher.
func (t *TCX) Ensure(dev Device, dir int, prog *ebpf.Program) (Result, error) {
	key := hookKey{dev.Index, dir}
	delete(t.alone, key)
	r, err := t.ensure(dev, dir, prog)
	if len(r.Now) == 1 && r.Now[0].Own && err == nil {
		t.alone[key] = alone{r.Now[0].ID, r.Now[0].link}
	}
	return r, err
}

func (t *TCX) ensure(dev Device, dir int, prog *ebpf.Program) (Result, error) {
	want, err := t.ids.of(prog)
	if err != nil {
		return Result{}, err
	}
	hook, err := t.Read(dev, dir)
	if err != nil {
		return Result{}, err
	}
	r := Result{Found: hook.Before(), Now: hook}
	if err := t.toHead(dev, dir, prog, &r); err != nil {
		return r, err
	}
	own := r.Now.own()
	if len(own) == 0 {
		return r, fmt.Errorf("attaching to %s %s: another program took ours off", dev.Name, HookNames[dir])
	}
	for _, p := range own[1:] { // left by a process that died while it moved
		if err := t.detach(t.held[p.link]); err != nil {
			return r, err
		}
	}
	first := t.held[own[0].link]
	if own[0].ID != want {
		if err := first.Update(prog); err != nil {
			return r, kernel.Explain("replacing the program of link "+first.pin, err)
		}
		r.Did = max(r.Did, Replaced)
	}
	if len(own) > 1 || own[0].ID != want {
		if r.Now, err = t.Read(dev, dir); err != nil {
			return r, err
		}
	}
	return r, t.name(first, LinkPin(dev.Name, dir))
}

// Undisturbed is that of Attacher.
func (t *TCX) Undisturbed(dev Device) bool {
	same := true
	err := t.ns.Run(func() error {
		for dir, hook := range TCXAttachTypes {
			want, is := t.alone[hookKey{dev.Index, dir}]
			same = same && is && t.query.on(dev.Index, hook) == want
		}
		return nil
	})
	return same && err == nil
}

// toHead puts a link before all others on the hook: no other program's verdict may precede
// the default deny. Where a link of ours is behind others, the new one drops everything
// until Ensure has taken that one off: a program that nothing precedes is always there, also
// when this process dies between any two steps, and no packet meets two of ours.
func (t *TCX) toHead(dev Device, dir int, prog *ebpf.Program, r *Result) (err error) {
	_, there := r.Now.Own()
	switch {
	case !there:
		r.Did = Attached
	case len(r.Found) == 0 || !t.contests.allow(dev, dir):
		return nil
	default:
		if prog, err = newGate(); err != nil {
			return err
		}
		defer func() { _ = prog.Close() }()
		r.Did = Moved
	}
	if err := t.attach(dev, dir, prog); err != nil {
		r.Did = Unchanged
		return err
	}
	r.Now, err = t.Read(dev, dir)
	return err
}

func (t *TCX) attach(dev Device, dir int, prog *ebpf.Program) error {
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
		return kernel.Explain(fmt.Sprintf("attaching to %s %s", dev.Name, HookNames[dir]), err)
	}
	info, err := l.Info()
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("link of %s %s: %w", dev.Name, HookNames[dir], err)
	}
	pin := sparePin(dev.Name, dir, info.ID)
	if err := l.Pin(filepath.Join(t.pins.Links(), pin)); err != nil {
		_ = l.Close()
		return kernel.Explain("pinning link "+pin, err)
	}
	t.held[info.ID] = &heldLink{Link: l, id: info.ID, pin: pin}
	return nil
}

// name sees that a link is pinned under a name. Another link that has the name is set aside
// when it hangs on a device of this namespace, and dropped when it does not.
func (t *TCX) name(h *heldLink, pin string) error {
	if h.pin == pin {
		if _, err := os.Lstat(filepath.Join(t.pins.Links(), pin)); errors.Is(err, fs.ErrNotExist) {
			return t.repin(h)
		}
		return nil
	}
	for _, other := range t.held {
		if other == h || other.pin != pin {
			continue
		}
		if err := t.giveWay(other); err != nil {
			return err
		}
	}
	return t.rename(h, pin)
}

func (t *TCX) giveWay(h *heldLink) error {
	info, err := h.Info()
	if err != nil {
		return fmt.Errorf("link %s: %w", h.pin, err)
	}
	if dir, hangs := t.hangs(info); hangs {
		return t.rename(h, sparePin(pinnedFor(h.pin), dir, h.id))
	}
	return t.detach(h)
}

// hangs reports whether a link is on a device of this namespace, and in which direction.
func (t *TCX) hangs(info *link.Info) (dir int, hangs bool) {
	tcx := info.TCX()
	if tcx == nil || tcx.Ifindex == 0 {
		return 0, false
	}
	for dir, hook := range TCXAttachTypes {
		if uint32(hook) != uint32(tcx.AttachType) {
			continue
		}
		on, _ := queryTCX(t.ns, Device{Index: int(tcx.Ifindex)}, dir)
		for _, p := range on {
			if id, _ := p.LinkID(); id == info.ID {
				return dir, true
			}
		}
	}
	return 0, false
}

func (t *TCX) rename(h *heldLink, pin string) error {
	err := os.Rename(filepath.Join(t.pins.Links(), h.pin), filepath.Join(t.pins.Links(), pin))
	h.pin = pin
	if errors.Is(err, fs.ErrNotExist) {
		return t.repin(h)
	}
	if err != nil {
		return fmt.Errorf("renaming the pin of link %s: %w", pin, err)
	}
	return nil
}

// repin pins a link whose pin another program removed. It takes a second handle, as
// one handle remembers where it was pinned. To ask the kernel for one by the link's id
// would need CAP_SYS_ADMIN.
func (t *TCX) repin(h *heldLink) error {
	own := h.Link.(interface{ FD() int }).FD()
	fd, err := unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("link %s: %w", h.pin, err)
	}
	l, err := link.NewFromFD(fd)
	if err != nil {
		return fmt.Errorf("link %s: %w", h.pin, err)
	}
	if err := pins.ReplacePin(l, filepath.Join(t.pins.Links(), h.pin)); err != nil {
		_ = l.Close()
		return fmt.Errorf("pinning link %s: %w", h.pin, err)
	}
	_ = h.Close()
	h.Link = l
	return nil
}

// Release is that of Attacher.
func (t *TCX) Release(dev Device) error {
	held, err := t.devices()
	if err != nil {
		return err
	}
	for h, on := range held {
		if on == dev {
			if err := t.detach(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// detach also breaks links that another process holds open. A link whose
// interface is gone is detached already.
func (t *TCX) detach(h *heldLink) error {
	if err := os.Remove(filepath.Join(t.pins.Links(), h.pin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", h.pin, err)
	}
	delete(t.held, h.id)
	defer func() { _ = h.Close() }()
	if info, err := h.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex == 0 {
		return nil
	}
	if err := h.Detach(); err != nil {
		return kernel.Explain("detaching link "+h.pin, err)
	}
	return nil
}

// Held is that of Attacher.
func (t *TCX) Held() ([]Device, error) {
	held, err := t.devices()
	if err != nil {
		return nil, err
	}
	var list []Device
	for _, dev := range held {
		list = append(list, dev)
	}
	return sortDevices(list), nil
}

// devices are where the links hang, by the names that their pins have.
func (t *TCX) devices() (map[*heldLink]Device, error) {
	if err := t.openPinned(); err != nil {
		return nil, err
	}
	held := make(map[*heldLink]Device)
	for _, h := range t.held {
		info, err := h.Info()
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", h.pin, err)
		}
		dev := Device{Name: pinnedFor(h.pin)}
		if tcx := info.TCX(); tcx != nil {
			dev.Index = int(tcx.Ifindex)
		}
		held[h] = dev
	}
	return held, nil
}

// Close closes the links. Their pins keep the programs attached.
func (t *TCX) Close() {
	for _, h := range t.held {
		_ = h.Close()
	}
}
