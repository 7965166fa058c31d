// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// ClassBytes reads how many bytes the only traffic class of a device, such as one
// of HTB, let through.
func (h *Host) ClassBytes(device string) (uint64, error) {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	classes, err := h.nl.ClassList(link, netlink.HANDLE_NONE)
	if err != nil {
		return 0, fmt.Errorf("classes of %s of %s: %w", device, h.Name, err)
	}
	if len(classes) != 1 {
		return 0, fmt.Errorf("%s of %s has %d classes, want 1", device, h.Name, len(classes))
	}
	return classes[0].Attrs().Statistics.Basic.Bytes, nil
}
