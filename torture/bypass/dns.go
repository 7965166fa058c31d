// SPDX-License-Identifier: Apache-2.0

package bypass

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	dnsPort    = 53
	dnsBPS     = 16_000 // what is promised at most, both directions together
	dnsBurst   = 16_384 // bytes, at once
	dnsPackets = 512    // bytes of IP of a query, or an answer
	asked      = 1e6    // bit/s, that the tunnel would like
)

// tunnel measures what a device that has not paid gets through the router's own DNS, with
// a server there that answers every query with as much. The count is that of nft, at the
// router and at the device.
func (k *kiosk) tunnel(ctx context.Context, o report.Options, row *report.Row) error {
	stop, err := k.Kiosk.Router.ServeEcho(dnsPort)
	if err != nil {
		return err
	}
	defer stop()
	device := k.Kiosk.Customers[0]
	up, err := k.Kiosk.Router.Count(lab.Ingress, lab.Bridge, "udp dport 53")
	if err != nil {
		return err
	}
	down, err := device.Count(lab.Ingress, lab.Uplink, "udp sport 53")
	if err != nil {
		return err
	}
	start := lab.Boottime()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.Pick(3, 30))*time.Second)
	defer cancel()
	if _, err := device.Blast(ctx, netip.AddrPortFrom(k.Kiosk.Router.Addr4, dnsPort), asked, dnsPackets); err != nil {
		return err
	}
	took := (lab.Boottime() - start).Seconds()
	sent, err := up.Read()
	if err != nil {
		return err
	}
	received, err := down.Read()
	if err != nil {
		return err
	}
	judge(row, sent, received, took)
	return nil
}

func judge(row *report.Row, sent, received lab.Count, seconds float64) {
	carried := float64(sent.Bytes + received.Bytes)
	row.Notes = append(row.Notes, fmt.Sprintf("DNS tunnel to the router: %.0f bit/s up and %.0f down in %.0f s, asked for %.0f",
		float64(sent.Bytes)*8/seconds, float64(received.Bytes)*8/seconds, seconds, asked))
	if most := dnsBurst + seconds*dnsBPS/8 + dnsPackets; carried > most {
		row.Failures = append(row.Failures, fmt.Sprintf("DNS tunnel: %.0f bytes in %.0f s, promised at most %.0f", carried, seconds, most))
	}
	// A device that asks for more than it may leaves little for the answers.
	if sent.Packets == 0 {
		row.Failures = append(row.Failures, "DNS before paying does not work")
	}
}
