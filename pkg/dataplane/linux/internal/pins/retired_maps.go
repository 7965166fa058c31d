// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

const retiredInfix = ":past-"

// RemoveRetired removes the retired maps.
func (p Folder) RemoveRetired() error {
	dirs, err := p.Retired()
	for _, dir := range dirs {
		err = errors.Join(err, RemoveAll(dir))
	}
	return err
}

// RetireFrom makes the maps of another folder on the same bpffs, if there are any, retired
// ones of this folder, as those that it had retired. Nothing may count there any more.
func (p Folder) RetireFrom(other Folder) error {
	dirs, err := other.Retired()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := os.Rename(dir, filepath.Join(p.Root, filepath.Base(dir))); err != nil {
			return kernel.Explain("moving retired maps", err)
		}
	}
	return p.retire(other, kernel.BootNow())
}

// retire makes maps, of this folder or another, retired ones.
func (p Folder) retire(from Folder, until dataplane.Boottime) error {
	// With all digits, so that the order of names is that of time.
	err := os.Rename(from.Maps(), fmt.Sprintf("%s%s%019d", p.Maps(), retiredInfix, until))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kernel.Explain("setting the former maps aside", err)
	}
	return nil
}

// Retired returns the folders of retired maps, the oldest first.
func (p Folder) Retired() ([]string, error) {
	all, err := Names(p.Root)
	if err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	var dirs []string
	for _, name := range all {
		if strings.HasPrefix(name, filepath.Base(p.Maps())+retiredInfix) {
			dirs = append(dirs, filepath.Join(p.Root, name))
		}
	}
	return dirs, nil
}

// ReadRetired reads a folder that Retired returned.
func ReadRetired(dir string) (dataplane.Retired, error) {
	var one dataplane.Retired
	_, at, _ := strings.Cut(filepath.Base(dir), retiredInfix)
	if _, err := fmt.Sscanf(at, "%d", &one.Until); err != nil {
		return one, fmt.Errorf("not a time: %w", err)
	}
	meta, err := readMeta(dir)
	if err != nil {
		return one, err
	}
	one.Epoch = meta.Epoch
	accounts, names, err := openRetiredAccounts(dir)
	if err != nil {
		return one, err
	}
	defer func() { _ = accounts.Close() }()
	if one.Spent, err = spentIn(accounts, names); err != nil {
		return one, fmt.Errorf("map %s: %w", names.table, err)
	}
	return one, nil
}

// openRetiredAccounts opens the map of accounts, whatever its version called it.
func openRetiredAccounts(dir string) (m *ebpf.Map, names accountNames, err error) {
	for _, names = range VersionsOfAccountNames {
		if m, err = ebpf.LoadPinnedMap(filepath.Join(dir, names.table), nil); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, names, fmt.Errorf("map %s: %w", names.table, err)
	}
	return m, names, nil
}

// spentIn reads a map of accounts of any version, as it describes itself.
func spentIn(accounts *ebpf.Map, names accountNames) (map[dataplane.Account]uint64, error) {
	layout, err := AccountLayoutOf(accounts, names)
	if err != nil {
		return nil, err
	}
	spent := make(map[dataplane.Account]uint64)
	var key, value []byte
	entries := accounts.Iterate()
	for entries.Next(&key, &value) {
		if account, bytes := layout.read(key, value); account != 0 && bytes != 0 {
			spent[account] = bytes
		}
	}
	return spent, entries.Err()
}

// accountNames are what one version's maps call what was counted.
type accountNames struct{ table, value, id, counter string }

// VersionsOfAccountNames are those of all layouts, ours first.
var VersionsOfAccountNames = []accountNames{
	{bpf.HotspotMapAccounts, "account", "id", "counter"},
	{"usages", "usage", "account", "passed"}, // up to layout 5
}

// accountLayout is where in a value of a map of accounts the words are that every
// version has, by the map's own description (BTF).
type accountLayout struct {
	id    int // -1: the key is the account
	bytes [bpf.Directions]int
}

// AccountLayoutOf reads the layout from a map's BTF.
func AccountLayoutOf(accounts *ebpf.Map, names accountNames) (accountLayout, error) {
	value, err := structOf(accounts, names.value)
	if errors.Is(err, unix.EPERM) && int(accounts.ValueSize()) == binary.Size(bpf.HotspotAccount{}) {
		// Descriptions are for CAP_SYS_ADMIN. Values of this size have been laid out like
		// ours since there were any.
		return OwnAccountLayout(), nil
	}
	if err != nil {
		return accountLayout{}, err
	}
	l := accountLayout{id: -1}
	if member := memberOf(value, names.id); member != nil {
		l.id = int(member.Offset.Bytes())
	} else if accounts.KeySize() != 8 {
		return l, fmt.Errorf("neither key nor value is an account")
	}
	counter := memberOf(value, names.counter)
	if counter == nil {
		return l, fmt.Errorf("struct %s has no member %s", names.value, names.counter)
	}
	list, ok := btf.UnderlyingType(counter.Type).(*btf.Array)
	if !ok || int(list.Nelems) != bpf.Directions {
		return l, fmt.Errorf("%s.%s is a %v, not an array of %d", names.value, names.counter, counter.Type, bpf.Directions)
	}
	return l.withBytes(int(counter.Offset.Bytes()), list.Type)
}

// OwnAccountLayout is that of the maps that this version makes.
func OwnAccountLayout() accountLayout {
	var own bpf.HotspotAccount
	l := accountLayout{id: int(unsafe.Offsetof(own.Id))}
	for dir := range l.bytes {
		l.bytes[dir] = int(unsafe.Offsetof(own.Counter)) + dir*int(unsafe.Sizeof(own.Counter[0])) + int(unsafe.Offsetof(own.Counter[0].Bytes))
	}
	return l
}

// withBytes adds where the bytes of each direction are: the counters begin at an offset.
func (l accountLayout) withBytes(at int, counter btf.Type) (accountLayout, error) {
	element, ok := btf.UnderlyingType(counter).(*btf.Struct)
	if !ok {
		return l, fmt.Errorf("the counters are of %v", counter)
	}
	bytes := memberOf(element, "bytes")
	if bytes == nil {
		return l, fmt.Errorf("struct %s has no member bytes", element.Name)
	}
	for dir := range l.bytes {
		l.bytes[dir] = at + dir*int(element.Size) + int(bytes.Offset.Bytes())
	}
	return l, nil
}

func (l accountLayout) read(key, value []byte) (account dataplane.Account, bytes uint64) {
	if l.id >= 0 {
		key = value[l.id:]
	}
	for _, at := range l.bytes {
		bytes += binary.NativeEndian.Uint64(value[at:])
	}
	return dataplane.Account(binary.NativeEndian.Uint64(key)), bytes
}

// structOf finds a struct in the description that a map was made with.
func structOf(m *ebpf.Map, name string) (*btf.Struct, error) {
	info, err := m.Info()
	if err != nil {
		return nil, err
	}
	id, ok := info.BTFID()
	if !ok {
		return nil, fmt.Errorf("it does not describe itself (no BTF)")
	}
	handle, err := btf.NewHandleFromID(id)
	if err != nil {
		return nil, fmt.Errorf("its BTF: %w", err)
	}
	defer func() { _ = handle.Close() }()
	spec, err := handle.Spec(nil)
	if err != nil {
		return nil, fmt.Errorf("its BTF: %w", err)
	}
	var found *btf.Struct
	if err := spec.TypeByName(name, &found); err != nil {
		return nil, fmt.Errorf("its BTF: %w", err)
	}
	return found, nil
}

func memberOf(s *btf.Struct, name string) *btf.Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}
