// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	port = 9000
	bits = 4e6
)

// Customers: one whose session the shop sold, one whose was sold here, one that
// connects and disconnects with a local session, and an unpaid one that sends all the same.
const (
	guest = iota
	local
	walker
	unpaidCustomer
	customers
)

type kiosk struct {
	*fixture.Fixture
	wire   *lab.Wire // the guest's
	flows  []*flow.Flow
	unpaid *flow.UnpaidFlow
}

func open(o report.Options) (k *kiosk, err error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: customers, Offloads: lab.OffloadsInside}, "checkpoint: 1s")
	if err != nil {
		return nil, err
	}
	k = &kiosk{Fixture: b}
	for _, customer := range []int{local, walker} {
		if _, err := k.Agent.Buy(k.mac(customer), "--type", "data", "--data", "100GB"); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	if k.wire, err = k.Kiosk.Wire(guest); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return k, nil
}

func (k *kiosk) mac(i int) string { return k.Kiosk.Customers[i].MAC.String() }

// send connects the paying customers, and has traffic flow to them, and from the unpaid one.
func (k *kiosk) send(ctx context.Context) (err error) {
	if _, err := k.Agent.Run("device", "add", k.mac(guest)); err != nil {
		return err
	}
	if _, err := k.Agent.Run("device", "add", k.mac(unpaidCustomer)); err != nil {
		return err
	}
	for _, customer := range []int{guest, local} {
		if _, err := k.Agent.Connect(k.mac(customer)); err != nil {
			return err
		}
		f, err := flow.Start(ctx, config(k.Kiosk.Server, k.Kiosk.Customers[customer]))
		if err != nil {
			return err
		}
		k.flows = append(k.flows, f)
		k.OnClose(f.Close)
	}
	if k.unpaid, err = flow.Unpaid(ctx, config(k.Kiosk.Customers[unpaidCustomer], k.Kiosk.Server)); err != nil {
		return err
	}
	k.OnClose(k.unpaid.Close)
	return flow.AwaitProgress(ctx, k.flows...)
}

func config(from, to *lab.Host) flow.Config {
	return flow.Config{From: from, To: to, Port: port, BitsPerSecond: bits, IPBytes: flow.MTU}
}

// walk has the walker come and go, and returns how long each Connect took.
func (k *kiosk) walk(ctx context.Context, times int) (took []time.Duration, err error) {
	for range times {
		if err := k.API.Call(ctx, http.MethodPost, "/devices/"+k.mac(walker)+"/disconnect", nil, nil); err != nil {
			return took, err
		}
		begun := time.Now()
		if err := k.API.Call(ctx, http.MethodPost, "/devices/"+k.mac(walker)+"/connect", nil, nil); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// tryStranger connects the unpaid customer, which fails.
func (k *kiosk) tryStranger() (let bool) {
	_, err := k.Agent.Connect(k.mac(unpaidCustomer))
	return err == nil
}

// carried is what the guest's wire carried up to now.
func (k *kiosk) carried() (uint64, error) {
	down, up, err := k.wire.Read()
	return down.Bytes + up.Bytes, err
}
