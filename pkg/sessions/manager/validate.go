// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// checkMAC reads the MAC of a customer.
func (m *Manager) checkMAC(text string) (dataplane.MAC, error) {
	mac, err := dataplane.ParseMAC(text)
	if err != nil {
		return mac, sessions.Invalidf("mac", "%s", err)
	}
	return mac, m.checkCustomer(mac)
}

func (m *Manager) checkCustomer(mac dataplane.MAC) error {
	if err := mac.CheckClient(); err != nil {
		return sessions.Invalidf("mac", "%s", err)
	}
	if m.cfg.RouterMACs != nil && slices.Contains(m.cfg.RouterMACs(), mac) {
		return sessions.Invalidf("mac", "%s is this router's own address", mac)
	}
	return nil
}
