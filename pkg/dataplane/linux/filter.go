// SPDX-License-Identifier: Apache-2.0

package linux

import "encoding/binary"

// routerFilter is a Bloom filter of addresses, with one hash (bpf/router.h).
type routerFilter [hotspotAbiABI_FILTER_BITS / 64]uint64

// filterMultiplier is ABI_FILTER_MULTIPLIER of bpf/abi.h.
const filterMultiplier = 0x61c8864680b583eb

func (f *routerFilter) add(a hotspotAddrKey) {
	bit := routerBit(a)
	f[bit/64] |= 1 << (bit % 64)
}

func routerBit(a hotspotAddrKey) uint64 {
	high, low := binary.NativeEndian.Uint64(a.Addr[:8]), binary.NativeEndian.Uint64(a.Addr[8:])
	return (high ^ low) * filterMultiplier >> (64 - hotspotAbiABI_FILTER_ORDER)
}
