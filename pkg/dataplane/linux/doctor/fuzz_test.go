// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
)

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
