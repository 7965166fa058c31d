// SPDX-License-Identifier: Apache-2.0

package bpf

import "encoding/binary"

// RouterFilter is a Bloom filter of addresses, with one hash (bpf/router.h).
type RouterFilter [HotspotAbiABI_FILTER_BITS / 64]uint64

// FilterMultiplier is ABI_FILTER_MULTIPLIER of bpf/abi.h.
const FilterMultiplier = 0x61c8864680b583eb

// Add adds an address.
func (f *RouterFilter) Add(a HotspotAddrKey) {
	bit := routerBit(a)
	f[bit/64] |= 1 << (bit % 64)
}

func routerBit(a HotspotAddrKey) uint64 {
	high, low := binary.NativeEndian.Uint64(a.Addr[:8]), binary.NativeEndian.Uint64(a.Addr[8:])
	return (high ^ low) * FilterMultiplier >> (64 - HotspotAbiABI_FILTER_ORDER)
}
