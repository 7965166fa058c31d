// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// Stranger is the flow of a customer who did not pay, to the server. What arrives there
// is counted past the agent.
type Stranger struct {
	*Flow
	count *lab.Counter
}

// Unpaid starts one. The caller closes it.
func Unpaid(ctx context.Context, c Config) (*Stranger, error) {
	count, err := c.To.Count(lab.Ingress, lab.Uplink, "ip saddr "+c.From.Addr4.String())
	if err != nil {
		return nil, err
	}
	f, err := Start(ctx, c)
	return &Stranger{f, count}, err
}

// Passed returns how many packets arrived unpaid. Then it has the stranger pay, and the
// packets of the same flow must arrive: that none did before would prove nothing else.
func (s *Stranger) Passed(ctx context.Context, pay func() error) (packets int64, err error) {
	before, err := s.count.Read()
	if err != nil {
		return 0, err
	}
	if err := pay(); err != nil {
		return 0, err
	}
	return int64(before.Packets), wait.Until(ctx, "packets of the stranger, who was let in", func() (bool, error) {
		after, err := s.count.Read()
		return after.Packets > before.Packets, err
	})
}
