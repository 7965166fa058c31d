// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SendFrames puts raw Ethernet frames on an interface, past the host's own stack.
func (h *Host) SendFrames(device string, frames ...[]byte) error {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		to := &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}
		for _, frame := range frames {
			if err := unix.Sendto(fd, frame, 0, to); err != nil {
				return fmt.Errorf("send a frame of %d bytes on %s of %s: %w", len(frame), device, h.Name, err)
			}
		}
		return nil
	})
}
