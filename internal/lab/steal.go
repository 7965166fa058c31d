// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
)

// Steal has an end host use another's MAC from now on, with its own addresses.
func (h *Host) Steal(mac net.HardwareAddr) error {
	link, err := h.nl.LinkByName(Uplink)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", Uplink, h.Name, err)
	}
	if err := h.nl.LinkSetHardwareAddr(link, mac); err != nil {
		return fmt.Errorf("give %s of %s the MAC %s: %w", Uplink, h.Name, mac, err)
	}
	return nil
}
