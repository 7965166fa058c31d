// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The one-value commands of SIOCETHTOOL (linux/ethtool.h) for the offloads that
// make super-packets.
var superPacketCommands = []uint32{
	0x1f, // ETHTOOL_STSO
	0x24, // ETHTOOL_SGSO
	0x2c, // ETHTOOL_SGRO
}

type ethtoolValue struct {
	command uint32
	data    uint32
}

// ethtoolRequest is struct ifreq with its pointer member.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the rest of the union
}

// OffloadsOff has an interface neither send nor build super-packets.
func (h *Host) OffloadsOff(device string) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for _, command := range superPacketCommands {
			if err := ethtoolSet(fd, device, command, 0); err != nil {
				return fmt.Errorf("ethtool command %#x on %s of %s: %w", command, device, h.Name, err)
			}
		}
		return nil
	})
}

func ethtoolSet(fd int, device string, command, data uint32) error {
	value := ethtoolValue{command: command, data: data}
	request := ethtoolRequest{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

func (k *Kiosk) setOffloads(o Offloads) error {
	if o == OffloadsOn {
		return nil
	}
	routerSide := []string{WAN}
	for i := range k.Customers {
		routerSide = append(routerSide, k.Port(i))
	}
	if o == OffloadsOff {
		routerSide = append(routerSide, Bridge)
	}
	for _, device := range routerSide {
		if err := k.Router.OffloadsOff(device); err != nil {
			return err
		}
	}
	if o != OffloadsOff {
		return nil
	}
	for _, h := range append([]*Host{k.Server}, k.Customers...) {
		if err := h.OffloadsOff(Uplink); err != nil {
			return err
		}
	}
	return nil
}
