// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/report"
)

// comeBack takes all rules from the kernel, as a reboot does, and measures how soon the
// packets of the whole crowd pass again.
func (b *bed) comeBack(ctx context.Context, p plan) (row report.Row, err error) {
	row = report.Row{Fault: "load: all come back", Runs: 1, Most: patience}
	crowd, err := b.kiosk.Crowd(p.customers)
	if err != nil {
		return row, err
	}
	if err := b.agent.Kill(); err != nil {
		return row, err
	}
	if _, err := b.agent.Run("detach", "--config", b.agent.Config()); err != nil {
		return row, err
	}
	began := time.Now()
	if err := b.agent.Start(); err != nil {
		return row, err
	}
	started := time.Since(began)
	passed, err := b.speak(ctx, crowd)
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
func (b *bed) speak(ctx context.Context, crowd []lab.Member) (passed int, err error) {
	const ipBytes, atOnce, look = 64, 256, 10 * time.Millisecond
	counter, err := b.kiosk.Server.Count(lab.Ingress, lab.Uplink, fmt.Sprintf("udp dport %d", lab.CrowdPort))
	if err != nil {
		return 0, err
	}
	payload := make([]byte, ipBytes-lab.UDPOverIPv4)
	var frames [][]byte
	for i, m := range crowd {
		if frames = append(frames, append(b.kiosk.Up(m, ipBytes), payload...)); len(frames) < atOnce && i+1 < len(crowd) {
			continue
		}
		if err := b.kiosk.Customers[0].SendFrames(lab.Uplink, frames...); err != nil {
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
