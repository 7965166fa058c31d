// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/flow"
)

const (
	port = 9000
	bits = 4e6
)

// Customers: one whose session the shop sold, one whose was sold here, one who comes
// and goes with a session of here, and one who bought nothing and sends all the same.
const (
	guest = iota
	local
	walker
	stranger
	customers
)

type kiosk struct {
	*lab.Kiosk
	agent   *rig.Agent
	wire    *lab.Wire // the guest's
	unpaid  *lab.Counter
	flows   []*flow.Flow
	closers []func() error
}

func open(l *lab.Lab, binary string) (k *kiosk, err error) {
	k = new(kiosk)
	if k.Kiosk, err = l.Kiosk(lab.KioskConfig{Customers: customers, Offloads: lab.OffloadsInside}); err != nil {
		return k, err
	}
	if k.agent, err = rig.New(k.Kiosk, binary, "checkpoint: 1s"); err != nil {
		return k, err
	}
	k.closers = append(k.closers, k.agent.Close)
	if err := k.agent.Start(); err != nil {
		return k, err
	}
	for _, who := range []int{local, walker} {
		if _, err := k.agent.Buy(k.mac(who), "--type", "data", "--data", "100GB"); err != nil {
			return k, err
		}
	}
	if k.wire, err = k.Wire(guest); err != nil {
		return k, err
	}
	k.unpaid, err = k.Server.Count(lab.Ingress, lab.Uplink, "ip saddr "+k.Customers[stranger].Addr4.String())
	return k, err
}

func (k *kiosk) mac(i int) string { return k.Customers[i].MAC.String() }

// send connects those who paid, and has traffic flow to them, and from the stranger.
func (k *kiosk) send(ctx context.Context) error {
	if _, err := k.agent.Run("device", "add", k.mac(guest)); err != nil {
		return err
	}
	if _, err := k.agent.Run("device", "add", k.mac(stranger)); err != nil {
		return err
	}
	for _, who := range []int{guest, local} {
		if _, err := k.agent.Connect(k.mac(who)); err != nil {
			return err
		}
		f, err := flow.Start(ctx, k.Server, k.Customers[who], port, bits)
		if err != nil {
			return err
		}
		k.flows = append(k.flows, f)
		k.closers = append(k.closers, f.Close)
	}
	f, err := flow.Start(ctx, k.Customers[stranger], k.Server, port, bits)
	if err != nil {
		return err
	}
	k.closers = append(k.closers, f.Close)
	return k.goesOn()
}

func (k *kiosk) goesOn() error {
	for _, f := range k.flows {
		if err := f.GoesOn(); err != nil {
			return err
		}
	}
	return nil
}

// walk has the walker come and go, and returns how long each Connect took.
func (k *kiosk) walk(ctx context.Context, times int) (took []time.Duration, err error) {
	api := k.agent.API()
	defer api.Close()
	for range times {
		if err := api.Call(ctx, http.MethodPost, "/devices/"+k.mac(walker)+"/disconnect", nil, nil); err != nil {
			return took, err
		}
		begun := time.Now()
		if err := api.Call(ctx, http.MethodPost, "/devices/"+k.mac(walker)+"/connect", nil, nil); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// tryStranger connects the stranger, who has nothing to consume.
func (k *kiosk) tryStranger() (let bool) {
	_, err := k.agent.Connect(k.mac(stranger))
	return err == nil
}

// carried is what the guest's wire carried up to now.
func (k *kiosk) carried() (uint64, error) {
	down, up, err := k.wire.Read()
	return down.Bytes + up.Bytes, err
}

// close undoes what open and send did, in reverse.
func (k *kiosk) close() (err error) {
	for _, c := range slices.Backward(k.closers) {
		err = errors.Join(err, c())
	}
	return err
}
