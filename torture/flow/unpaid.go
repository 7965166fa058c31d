// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// UnpaidFlow is a flow of an unpaid device to the server. nft counts there which packets
// arrive, independently of the agent.
type UnpaidFlow struct {
	*Flow
	count *lab.Counter
}

// Unpaid starts an UnpaidFlow. The caller closes it.
func Unpaid(ctx context.Context, c Config) (*UnpaidFlow, error) {
	count, err := c.To.Count(lab.Ingress, lab.Uplink, "ip saddr "+c.From.Addr4.String())
	if err != nil {
		return nil, err
	}
	f, err := Start(ctx, c)
	return &UnpaidFlow{f, count}, err
}

// Passed returns how many packets arrived unpaid. Then it calls pay and waits until packets
// of the same flow arrive: otherwise none before would prove nothing.
func (s *UnpaidFlow) Passed(ctx context.Context, pay func() error) (packets int64, err error) {
	before, err := s.count.Read()
	if err != nil {
		return 0, err
	}
	if err := pay(); err != nil {
		return 0, err
	}
	return int64(before.Packets), wait.Until(ctx, "packets of the device that paid", func() (bool, error) {
		after, err := s.count.Read()
		return after.Packets > before.Packets, err
	})
}
