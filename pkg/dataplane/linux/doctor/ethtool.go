// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/ethtool.h.
const (
	ethtoolGetStrings  = 0x1b // ETHTOOL_GSTRINGS
	ethtoolGetSetInfo  = 0x37 // ETHTOOL_GSSET_INFO
	ethtoolGetFeatures = 0x3a // ETHTOOL_GFEATURES
	featureStrings     = 4    // ETH_SS_FEATURES
	stringLength       = 32   // ETH_GSTRING_LEN
)

// hasFeature reports whether an offload of an interface is active, by ethtool's
// name for it. It must run in the interface's network namespace.
func hasFeature(ifname, feature string) (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(fd) }()
	list, err := featureNames(fd, ifname)
	if err != nil {
		return false, err
	}
	bit := slices.Index(list, feature)
	if bit < 0 {
		return false, nil
	}
	// struct ethtool_gfeatures: cmd, size, then {available, requested, active,
	// never_changed} for every 32 features.
	words := (len(list) + 31) / 32
	b := request(8+16*words, ethtoolGetFeatures, uint32(words))
	if err := ethtool(fd, ifname, b); err != nil {
		return false, err
	}
	active := binary.NativeEndian.Uint32(b[8+16*(bit/32)+8:])
	return active&(1<<(bit%32)) != 0, nil
}

func featureNames(fd int, ifname string) ([]string, error) {
	// struct ethtool_sset_info: cmd, reserved, 64 bit mask, then a length for each set asked for.
	b := request(20, ethtoolGetSetInfo, 0)
	binary.NativeEndian.PutUint64(b[8:], 1<<featureStrings)
	if err := ethtool(fd, ifname, b); err != nil {
		return nil, err
	}
	n := int(binary.NativeEndian.Uint32(b[16:]))
	// struct ethtool_gstrings: cmd, set, length, strings.
	b = request(12+n*stringLength, ethtoolGetStrings, featureStrings)
	binary.NativeEndian.PutUint32(b[8:], uint32(n))
	if err := ethtool(fd, ifname, b); err != nil {
		return nil, err
	}
	var list []string
	for s := range slices.Chunk(b[12:], stringLength) {
		list = append(list, unix.ByteSliceToString(s))
	}
	return list, nil
}

func request(size int, cmd, second uint32) []byte {
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, cmd)
	binary.NativeEndian.PutUint32(b[4:], second)
	return b
}

// ifreq is struct ifreq of linux/if.h, as long as on any architecture.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

func ethtool(fd int, ifname string, b []byte) error {
	ifr := ifreq{data: unsafe.Pointer(&b[0])}
	copy(ifr.name[:unix.IFNAMSIZ-1], ifname)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr)))
	runtime.KeepAlive(b)
	if errno != 0 {
		return fmt.Errorf("ethtool %s: %w", ifname, errno)
	}
	return nil
}
