// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
)

// arrive has a crowd of customers connected.
func (k kiosk) arrive(ctx context.Context, n int) error {
	var devices []string
	for i := range n {
		devices = append(devices, lab.EmulatedMAC(i).String())
	}
	return k.Agent.ConnectAll(ctx, devices, plenty)
}

// latencies are how long a call took, many times.
type latencies []time.Duration

func (l latencies) at(percent int) time.Duration {
	slices.Sort(l)
	return l[min(len(l)*percent/100, len(l)-1)].Round(10 * time.Microsecond)
}

// comeAndGo times the Connects of a customer, as many and for as long as asked.
func (k kiosk) comeAndGo(ctx context.Context, times int, least time.Duration) (l latencies, err error) {
	device := k.Kiosk.Customers[1].MAC.String()
	if err := k.Agent.ConnectAll(ctx, []string{device}, plenty); err != nil {
		return nil, err
	}
	for began := time.Now(); len(l) < times || time.Since(began) < least; {
		if err := k.API.Call(ctx, "POST", "/devices/"+device+"/disconnect", nil, nil); err != nil {
			return nil, err
		}
		called := time.Now()
		if err := k.API.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil); err != nil {
			return nil, err
		}
		l = append(l, time.Since(called))
	}
	return l, nil
}

// watch has the first customer connected, and send all the time.
func (k kiosk) watch(ctx context.Context) (*flow.Flow, error) {
	customer := k.Kiosk.Customers[0]
	if err := k.Agent.ConnectAll(ctx, []string{customer.MAC.String()}, plenty); err != nil {
		return nil, err
	}
	return flow.Start(ctx, flow.Config{From: customer, To: k.Kiosk.Server, Port: 5001, BitsPerSecond: 400_000, IPBytes: 100})
}

// lost counts the purchases that were answered and are not there when the database is
// read again by another process.
func (k kiosk) lost(ctx context.Context, answered []int64) (lost int, err error) {
	if err := errors.Join(k.Agent.Kill(), k.Agent.Start()); err != nil {
		return 0, err
	}
	var all []struct{ ID int64 }
	if err := k.API.Call(ctx, "GET", "/sessions", nil, &all); err != nil {
		return 0, err
	}
	there := make(map[int64]bool)
	for _, s := range all {
		there[s.ID] = true
	}
	for _, id := range answered {
		if !there[id] {
			lost++
		}
	}
	if len(answered) == 0 {
		err = fmt.Errorf("none of the purchases was answered")
	}
	return lost, err
}
