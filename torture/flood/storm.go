// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// stormCustomers is how many customers connect and disconnect at the same time.
const stormCustomers = 16

// storm is customers that connect and disconnect again and again.
type storm struct {
	api     *harness.API
	devices []string
}

func newStorm(ctx context.Context, r *router) (*storm, error) {
	s := &storm{api: r.api}
	for i := range stormCustomers {
		s.devices = append(s.devices, lab.EmulatedMAC(i).String())
	}
	return s, r.agent.ConnectAll(ctx, s.devices, session)
}

// run connects and disconnects until ctx ends, and returns how often.
func (s *storm) run(ctx context.Context) (uint64, error) {
	var times atomic.Uint64
	failed := make([]error, len(s.devices))
	var group sync.WaitGroup
	for i, device := range s.devices {
		group.Go(func() {
			for ctx.Err() == nil && failed[i] == nil {
				failed[i] = s.reconnect(ctx, device)
				times.Add(2)
			}
		})
	}
	group.Wait()
	return times.Load(), errors.Join(failed...)
}

// reconnect is not interrupted by the end of ctx.
func (s *storm) reconnect(ctx context.Context, device string) error {
	ctx = context.WithoutCancel(ctx)
	for _, verb := range []string{"disconnect", "connect"} {
		if err := s.api.Call(ctx, "POST", fmt.Sprintf("/devices/%s/%s", device, verb), nil, nil); err != nil {
			return err
		}
	}
	return nil
}
