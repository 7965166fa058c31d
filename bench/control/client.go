// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
)

// client speaks to the daemon's socket as a portal does.
type client struct{ *harness.API }

func (c *client) connect(ctx context.Context, device string) error {
	return c.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil)
}

func (c *client) disconnect(ctx context.Context, device string) error {
	return c.Call(ctx, "POST", "/devices/"+device+"/disconnect", nil, nil)
}

// purchase is a session as it is bought on the socket.
type purchase struct {
	Device    string `json:"device"`
	Type      string `json:"type"`
	TimeSecs  int    `json:"time_secs,omitempty"`
	DataBytes uint64 `json:"data_bytes,omitempty"`
	DownBPS   uint64 `json:"down_bps"`
	UpBPS     uint64 `json:"up_bps"`
}

// plenty is a session that is not used up during a run.
func plenty(device string) purchase {
	return purchase{Device: device, Type: "time_or_data", TimeSecs: 1_000_000, DataBytes: 1e12, DownBPS: 5e6, UpBPS: 3e6}
}

func (c *client) buy(ctx context.Context, p purchase) error {
	return c.Call(ctx, "POST", "/sessions", p, nil)
}

// mac names the n-th customer of a population.
func mac(n int) string {
	return fmt.Sprintf("02:cc:%02x:%02x:%02x:%02x", n>>24&0xff, n>>16&0xff, n>>8&0xff, n&0xff)
}

// each calls do for every customer from to to, by several callers at once, until one
// fails.
func each(ctx context.Context, from, to, callers int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(from))
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for n := int(next.Add(1)) - 1; n < to && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				if err := do(ctx, n); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}
