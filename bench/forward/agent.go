// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
)

// agentSubject is the real daemon with one of its limiters.
func agentSubject(binary, limiter string) subject {
	return subject{name: limiter, enforce: func(ctx context.Context, r *router) error {
		agent, err := harness.New(r.kiosk, binary, "limiter: "+limiter, "max_clients: 20000")
		if err != nil {
			return err
		}
		r.onClose(agent.Close)
		if err := agent.Start(); err != nil {
			return err
		}
		var devices []string
		for _, m := range r.customers {
			devices = append(devices, m.MAC.String())
		}
		return agent.ConnectAll(ctx, devices, map[string]any{
			"type": "time_or_data", "time_secs": 86400, "data_bytes": uint64(quotaBytes),
			"down_bps": uint64(speedBits), "up_bps": uint64(speedBits),
		})
	}}
}
