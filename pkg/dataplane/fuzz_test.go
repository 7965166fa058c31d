// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
)

// FuzzParseMAC: what is taken is the same bytes in any form, and prints in ours.
func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001", "02005e100001", "02:00:5e:10:00", "02:00-5e:10:00:01", "02:00:5e:10:00:0g", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := ParseMAC(s)
		if err != nil {
			return
		}
		digits := strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
		if plain := strings.ReplaceAll(mac.String(), ":", ""); plain != digits {
			t.Errorf("%q is read as %s", s, mac)
		}
		if again, err := ParseMAC(mac.String()); err != nil || again != mac {
			t.Errorf("%q prints as %s, which is read as %v, %v", s, mac, again, err)
		}
	})
}

// FuzzFlowtable: whatever the kernel sends, or something that answers for it, reading
// it ends, and gives no more names than there is room for.
func FuzzFlowtable(f *testing.F) {
	header := make([]byte, nl.SizeofNfgenmsg)
	hooks := attribute(nftaFlowtableHook, attribute(nftaFlowtableHookDevs, attribute(1, []byte("lan\x00"))))
	f.Add(slices.Concat(header, attribute(nftaFlowtableTable, []byte("fw4\x00")), attribute(nftaFlowtableName, []byte("ft\x00")), hooks))
	f.Add(slices.Concat(header, attribute(nftaFlowtableFlags, []byte{0, 0, 0, 1})))
	f.Add(slices.Concat(header, []byte{3, 0, 1, 0}))
	f.Add(slices.Concat(header, []byte{255, 255, 1, 0}))
	f.Add(header[:1])
	f.Fuzz(func(t *testing.T, message []byte) {
		table, err := parseFlowtable(message)
		if err == nil && len(table.devices) > len(message)/4 {
			t.Errorf("%x: %d devices", message, len(table.devices))
		}
	})
}
