// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"os"
	"regexp"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	port      = 9000
	upBits    = 2e6
	downBits  = 6e6
	speedFlag = "50" // Mbit/s: the limiter works, and does not limit
)

// kiosk has a paying customer, with numbered packets both ways, and an unpaid one
// and sends all the same. What arrives is counted at the far ends.
type kiosk struct {
	*fixture.Fixture
	session harness.Session
	since   time.Time // connected
	wire    *lab.Wire
	flows   []*flow.Flow
	unpaid  *flow.UnpaidFlow
}

const payer, unpaidCustomer = 0, 1

func open(ctx context.Context, o report.Options) (k *kiosk, err error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside}, "checkpoint: 1h", "limiter: fair")
	if err != nil {
		return nil, err
	}
	k = &kiosk{Fixture: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if k.wire, err = b.Kiosk.Wire(payer); err != nil {
		return nil, err
	}
	if err := k.sell(); err != nil {
		return nil, err
	}
	return k, k.send(ctx)
}

func (k *kiosk) mac(i int) string { return k.Kiosk.Customers[i].MAC.String() }

func (k *kiosk) sell() (err error) {
	k.session, err = k.Agent.Buy(k.mac(payer), "--type", "time_or_data", "--time", "10h", "--data", "100GB", "--down", speedFlag, "--up", speedFlag)
	if err != nil {
		return err
	}
	k.since = time.Now()
	_, err = k.Agent.Connect(k.mac(payer))
	return err
}

// send starts the payer's traffic both ways, and that of the unpaid customer.
func (k *kiosk) send(ctx context.Context) (err error) {
	customer, server := k.Kiosk.Customers[payer], k.Kiosk.Server
	for _, c := range []flow.Config{
		{From: customer, To: server, Port: port, BitsPerSecond: upBits, IPBytes: flow.MTU},
		{From: server, To: customer, Port: port, BitsPerSecond: downBits, IPBytes: flow.MTU},
	} {
		f, err := flow.Start(ctx, c)
		if err != nil {
			return err
		}
		k.flows = append(k.flows, f)
		k.OnClose(f.Close)
	}
	k.unpaid, err = flow.Unpaid(ctx, flow.Config{
		From: k.Kiosk.Customers[unpaidCustomer], To: server, Port: port + 1, BitsPerSecond: upBits, IPBytes: flow.MTU,
	})
	if err != nil {
		return err
	}
	k.OnClose(k.unpaid.Close)
	return flow.AwaitProgress(ctx, k.flows...)
}

var limiterLine = regexp.MustCompile(`(?m)^limiter: .*$`)

// become stops the agent, cleanly or not, and starts another version of it.
func (k *kiosk) become(ctx context.Context, v version, kill bool) error {
	stop := k.Agent.Stop
	if kill {
		stop = k.Agent.Kill
	}
	config, err := os.ReadFile(k.Agent.Config())
	if err != nil {
		return err
	}
	config = limiterLine.ReplaceAll(config, []byte("limiter: "+v.limiter))
	if err := errors.Join(stop(), os.WriteFile(k.Agent.Config(), config, 0o600)); err != nil {
		return err
	}
	if err := flow.AwaitProgress(ctx, k.flows...); err != nil { // without any agent
		return err
	}
	k.Agent.SetBinary(v.binary)
	return errors.Join(k.Agent.Start(), flow.AwaitProgress(ctx, k.flows...))
}
