// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// accountNames are what one version's maps call what was counted.
type accountNames struct{ table, value, id, counter string }

// versionsOfAccountNames are those of all layouts, ours first.
var versionsOfAccountNames = []accountNames{
	{hotspotMapAccounts, "account", "id", "counter"},
	{"usages", "usage", "account", "passed"}, // up to layout 5
}

// accountLayout is where in a value of a map of accounts the words are that every
// version has, by the map's own description (BTF).
type accountLayout struct {
	id    int // -1: the key is the account
	bytes [directions]int
}

func accountLayoutOf(accounts *ebpf.Map, names accountNames) (accountLayout, error) {
	value, err := structOf(accounts, names.value)
	if errors.Is(err, unix.EPERM) && int(accounts.ValueSize()) == binary.Size(hotspotAccount{}) {
		// Descriptions are for CAP_SYS_ADMIN. Values of this size have been laid out like
		// ours since there were any.
		return ownAccountLayout(), nil
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
	if !ok || int(list.Nelems) != directions {
		return l, fmt.Errorf("%s.%s is a %v, not an array of %d", names.value, names.counter, counter.Type, directions)
	}
	return l.withBytes(int(counter.Offset.Bytes()), list.Type)
}

// ownAccountLayout is that of the maps that this version makes.
func ownAccountLayout() accountLayout {
	var own hotspotAccount
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
