// SPDX-License-Identifier: Apache-2.0

package links

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const attributeTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

// EachAttribute visits netlink attributes: length, kind, value, padding to 4 bytes.
func EachAttribute(b []byte, visit func(kind uint16, value []byte) error) error {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return fmt.Errorf("netlink attribute of %d bytes in a message of %d", n, len(b))
		}
		kind := binary.NativeEndian.Uint16(b[2:]) & attributeTypeMask
		if err := visit(kind, b[unix.SizeofRtAttr:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// EachNested visits the netlink attributes at the end of a path of nested ones.
func EachNested(b []byte, path []uint16, visit func(kind uint16, value []byte) error) error {
	if len(path) == 0 {
		return EachAttribute(b, visit)
	}
	return EachAttribute(b, func(kind uint16, value []byte) error {
		if kind != path[0] {
			return nil
		}
		return EachNested(value, path[1:], visit)
	})
}
