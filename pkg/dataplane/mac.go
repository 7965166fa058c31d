// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// MAC is a 48-bit IEEE 802 address. The zero value is no address.
type MAC [6]byte

// ParseMAC reads a MAC in any common form: 6 groups of 2 hex digits separated
// by ':' or '-', 3 groups of 4 separated by '.', or 12 bare digits; either case.
// Any 48-bit value is accepted here; [MAC.CheckClient] says whether it can be a
// customer's.
func ParseMAC(s string) (MAC, error) {
	var mac MAC
	digits := s
	switch {
	case len(s) == 17 && strings.Count(s, ":") == 5 && separatedBy(s, ':', 2):
		digits = strings.ReplaceAll(s, ":", "")
	case len(s) == 17 && strings.Count(s, "-") == 5 && separatedBy(s, '-', 2):
		digits = strings.ReplaceAll(s, "-", "")
	case len(s) == 14 && strings.Count(s, ".") == 2 && separatedBy(s, '.', 4):
		digits = strings.ReplaceAll(s, ".", "")
	}
	if len(digits) != 12 {
		return mac, fmt.Errorf("%q is not a MAC address (want 6 bytes, like 02:00:5e:10:00:01)", s)
	}
	if _, err := hex.Decode(mac[:], []byte(digits)); err != nil {
		return MAC{}, fmt.Errorf("%q is not a MAC address (want 6 bytes, like 02:00:5e:10:00:01)", s)
	}
	return mac, nil
}

func separatedBy(s string, sep byte, group int) bool {
	for i := group; i < len(s); i += group + 1 {
		if s[i] != sep {
			return false
		}
	}
	return true
}

// String is the lower-case, colon-separated form.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero reports whether m is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// CheckClient returns an error when m cannot be a customer's: the zero address,
// or one with the group bit set (multicast, broadcast; IEEE 802-2014, 8.2).
func (m MAC) CheckClient() error {
	switch {
	case m.IsZero():
		return fmt.Errorf("%s is the zero address, not a device's", m)
	case m == MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		return fmt.Errorf("%s is the broadcast address, not a device's", m)
	case m[0]&1 != 0:
		return fmt.Errorf("%s is a multicast address, not a device's", m)
	}
	return nil
}

// MarshalText is String, for JSON and YAML.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMAC, for JSON and YAML.
func (m *MAC) UnmarshalText(text []byte) error {
	parsed, err := ParseMAC(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}
