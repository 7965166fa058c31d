// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// usageLayout is where in a value of a map of usages the words are that every version
// has: the map's own description (BTF) tells.
type usageLayout struct {
	account int // -1: the key is the account
	bytes   [directions]int
}

func usageLayoutOf(usages *ebpf.Map) (usageLayout, error) {
	usage, err := structOf(usages, "usage")
	if errors.Is(err, unix.EPERM) && int(usages.ValueSize()) == binary.Size(hotspotUsage{}) {
		// Descriptions are for CAP_SYS_ADMIN. Values of this size have been laid out like
		// ours since there were any.
		return ownUsageLayout(), nil
	}
	if err != nil {
		return usageLayout{}, err
	}
	l := usageLayout{account: -1}
	if member := memberOf(usage, "account"); member != nil {
		l.account = int(member.Offset.Bytes())
	} else if usages.KeySize() != 8 {
		return l, fmt.Errorf("neither key nor value is an account")
	}
	passed := memberOf(usage, "passed")
	if passed == nil {
		return l, fmt.Errorf("struct usage has no member passed")
	}
	list, ok := btf.UnderlyingType(passed.Type).(*btf.Array)
	if !ok || list.Nelems != directions {
		return l, fmt.Errorf("usage.passed is a %v, not an array of %d", passed.Type, directions)
	}
	return l.withBytes(int(passed.Offset.Bytes()), list.Type)
}

// ownUsageLayout is that of the maps that this version makes.
func ownUsageLayout() usageLayout {
	var own hotspotUsage
	l := usageLayout{account: int(unsafe.Offsetof(own.Account))}
	for dir := range l.bytes {
		l.bytes[dir] = int(unsafe.Offsetof(own.Passed)) + dir*int(unsafe.Sizeof(own.Passed[0])) + int(unsafe.Offsetof(own.Passed[0].Bytes))
	}
	return l
}

// withBytes adds where the bytes of each direction are: passed begins at an offset.
func (l usageLayout) withBytes(at int, passed btf.Type) (usageLayout, error) {
	element, ok := btf.UnderlyingType(passed).(*btf.Struct)
	if !ok {
		return l, fmt.Errorf("usage.passed is of %v", passed)
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

func (l usageLayout) read(key, value []byte) (account Account, bytes uint64) {
	if l.account >= 0 {
		key = value[l.account:]
	}
	for _, at := range l.bytes {
		bytes += binary.NativeEndian.Uint64(value[at:])
	}
	return Account(binary.NativeEndian.Uint64(key)), bytes
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
