// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// comeBack takes all rules from the kernel, as a reboot does, and measures how soon the
// packets of the whole crowd pass again.
func (k kiosk) comeBack(ctx context.Context, p plan) (row report.Row, err error) {
	row = report.Row{Fault: "load: all come back", Runs: 1, Most: patience}
	crowd, err := k.Kiosk.EmulateCustomers(p.customers)
	if err != nil {
		return row, err
	}
	if err := k.Agent.Kill(); err != nil {
		return row, err
	}
	if _, err := k.Agent.Run("detach", "--config", k.Agent.Config()); err != nil {
		return row, err
	}
	began := time.Now()
	if err := k.Agent.Start(); err != nil {
		return row, err
	}
	started := time.Since(began)
	passed, err := k.speak(ctx, crowd)
	if err != nil {
		return row, err
	}
	row.Recovery = time.Since(began)
	row.Notes = []string{fmt.Sprintf("%d customers of %d pass; the agent answers after %v", passed, len(crowd), started.Round(time.Millisecond))}
	if passed < len(crowd) {
		row.Failures = append(row.Failures, fmt.Sprintf("%d of %d customers are not let in again", len(crowd)-passed, len(crowd)))
	}
	return row, nil
}

// speak has each of the crowd send one packet to the server, and counts what arrives.
func (k kiosk) speak(ctx context.Context, crowd []lab.EmulatedCustomer) (passed int, err error) {
	const ipBytes, atOnce, look = 64, 256, 10 * time.Millisecond
	counter, err := k.Kiosk.Server.Count(lab.Ingress, lab.Uplink, fmt.Sprintf("udp dport %d", lab.EmulatedPort))
	if err != nil {
		return 0, err
	}
	payload := make([]byte, ipBytes-lab.UDPOverIPv4)
	var frames [][]byte
	for i, m := range crowd {
		if frames = append(frames, append(k.Kiosk.Up(m, ipBytes), payload...)); len(frames) < atOnce && i+1 < len(crowd) {
			continue
		}
		if err := k.Kiosk.Customers[0].SendFrames(lab.Uplink, frames...); err != nil {
			return 0, err
		}
		frames = frames[:0]
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(look) {
		count, err := counter.Read()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
		if passed = int(count.Packets); passed >= len(crowd) || time.Now().After(deadline) {
			return passed, nil
		}
	}
}
