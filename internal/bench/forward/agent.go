// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
)

// agentSubject is the real daemon with one of its limiters.
func agentSubject(binary, limiter string) subject {
	return subject{name: limiter, enforce: func(ctx context.Context, r *router) error {
		agent, err := rig.New(r.kiosk, binary, "limiter: "+limiter, "max_clients: 20000")
		if err != nil {
			return err
		}
		r.onClose(agent.Close)
		if err := agent.Start(); err != nil {
			return err
		}
		return connect(ctx, agent, r.members)
	}}
}

// connect sells every member a session and connects it.
func connect(ctx context.Context, agent *rig.Agent, members []lab.Member) error {
	const workers = 16
	api := agent.API()
	defer api.Close()
	queue := make(chan lab.Member)
	failed := make([]error, workers)
	var working sync.WaitGroup
	for w := range failed {
		working.Go(func() {
			for m := range queue {
				if failed[w] == nil {
					failed[w] = sell(ctx, api, m)
				}
			}
		})
	}
	for _, m := range members {
		queue <- m
	}
	close(queue)
	working.Wait()
	return errors.Join(failed...)
}

func sell(ctx context.Context, api *rig.API, m lab.Member) error {
	session := map[string]any{
		"device": m.MAC.String(), "type": "time_or_data", "time_secs": 86400,
		"data_bytes": uint64(quotaBytes), "down_bps": uint64(speedBits), "up_bps": uint64(speedBits),
	}
	if err := api.Call(ctx, "POST", "/sessions", session, nil); err != nil {
		return err
	}
	return api.Call(ctx, "POST", fmt.Sprintf("/devices/%s/connect", m.MAC), nil, nil)
}
