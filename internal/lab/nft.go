// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strings"
)

// DropICMPErrors keeps a host from sending ICMP errors. They quote the offending packet,
// and a sniffer would take the quotation for the packet.
func (h *Host) DropICMPErrors() error {
	return h.nft(`table inet icmp_errors {
  chain output {
    type filter hook output priority 0; policy accept;
    icmp type { destination-unreachable, time-exceeded, parameter-problem, redirect } drop
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } drop
  }
}
`)
}

// nft adds the rules of a script to those of the host.
func (h *Host) nft(script string) error {
	cmd := h.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft on %s: %w: %s", h.Name, err, out)
	}
	return nil
}
