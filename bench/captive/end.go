// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bulkPort   = 8081
	balance    = 2_000_000
	goalKnown  = 10 * time.Millisecond
	boundKnown = time.Second
	givenUp    = 2 * time.Second // far beyond any answer
)

// endOfBalance is how long a client waits for news when the balance is used up in the
// middle of a download.
func (p plan) endOfBalance(ctx context.Context, r *router, out *report.Report) error {
	stop, err := r.kiosk.Server.ServeBulk(bulkPort)
	if err != nil {
		return err
	}
	defer stop()
	for _, ipv6 := range []bool{false, true} {
		var known []float64
		for range p.ends {
			took, err := untilKnown(ctx, r.kiosk, r.agent, ipv6)
			if err != nil {
				return err
			}
			known = append(known, took.Seconds()*1000)
		}
		slowest := report.Row{Study: study, Cell: "download, " + family(ipv6), Subject: ours, Metric: "end of the balance known, slowest",
			Value: slices.Max(known), Unit: "ms", Goal: report.AtMost(goalKnown.Seconds() * 1000), Bound: report.AtMost(boundKnown.Seconds() * 1000)}
		middle := slowest
		middle.Metric, middle.Value, middle.Bound = "end of the balance known, median", median(known), nil
		out.Add(middle, slowest)
	}
	return nil
}

// untilKnown is the time from the last byte of a download to the reset.
func untilKnown(ctx context.Context, k *lab.Kiosk, daemon *harness.Agent, ipv6 bool) (time.Duration, error) {
	device := k.Customers[1].MAC.String()
	session := map[string]any{"type": "data", "data_bytes": balance}
	if err := daemon.ConnectAll(ctx, []string{device}, session); err != nil {
		return 0, err
	}
	server := netip.AddrPortFrom(k.Server.Addr4, bulkPort)
	if ipv6 {
		server = netip.AddrPortFrom(k.Server.Addr6, bulkPort)
	}
	conn, err := k.Customers[1].Dial(ctx, "tcp", server.String())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte{'D'}); err != nil {
		return 0, err
	}
	last, buffer := time.Now(), make([]byte, 1<<16)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(givenUp))
		_, err := conn.Read(buffer)
		switch {
		case errors.Is(err, syscall.ECONNRESET):
			return time.Since(last), nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return givenUp, nil
		case err != nil:
			return 0, fmt.Errorf("the download: %w", err)
		}
		last = time.Now()
	}
}
