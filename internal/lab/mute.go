// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strings"
)

// MuteErrors keeps a host from answering by ICMP errors, which quote what it was sent:
// who hears them would take the quotation for the packet.
func (h *Host) MuteErrors() error {
	return h.nft(`table inet mute {
  chain say {
    type filter hook output priority 0; policy accept;
    icmp type { destination-unreachable, time-exceeded, parameter-problem, redirect } drop
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } drop
  }
}
`)
}

// nft adds what a script says to the host's rules.
func (h *Host) nft(script string) error {
	cmd := h.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft on %s: %w: %s", h.Name, err, out)
	}
	return nil
}
