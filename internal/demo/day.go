// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	portalPort = 80
	echoPort   = 7
	bulkPort   = 8080
	callPort   = 9000
	patience   = 30 * time.Second
	look       = 100 * time.Millisecond
)

var (
	server4 = netip.MustParseAddr(lab.Server4)
	server6 = netip.MustParseAddr(lab.Server6)
)

// day is one day at the kiosk.
type day struct {
	*screen
	kiosk    *lab.Kiosk
	agent    *harness.Agent
	ana, ben *lab.Host
	cleanup  []func()
}

// end stops what the day started, last first.
func (d *day) end() {
	for i := len(d.cleanup) - 1; i >= 0; i-- {
		d.cleanup[i]()
	}
}

func (d *day) play(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.opening, d.anaJoins, d.anaBuysData, d.anaTopsUp, d.benBuysTime, d.closing,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// opening starts what the kiosk consists of, and the agent.
func (d *day) opening(context.Context) error {
	d.scene("The kiosk opens.")
	d.detail("Ana's phone   %s ──┐", d.ana.MAC)
	d.detail("Ben's laptop  %s ──┴── br-lan [router: hotspot-agent] ── internet", d.ben.MAC)
	for _, serve := range []func() (func(), error){
		func() (func(), error) { return d.kiosk.Server.ServeEcho(echoPort) },
		func() (func(), error) { return d.kiosk.Server.ServeBulk(bulkPort) },
		d.servePortal,
	} {
		stop, err := serve()
		if err != nil {
			return err
		}
		d.cleanup = append(d.cleanup, stop)
	}
	if err := d.agent.Start(); err != nil {
		return err
	}
	var status struct {
		Kernel     string
		AttachMode string `json:"attach_mode"`
	}
	if err := d.agent.JSON(&status, "status"); err != nil {
		return err
	}
	d.detail("The agent runs on kernel %s, attached by %s.", status.Kernel, status.AttachMode)
	return nil
}

// closing shows the whole day as the agent saw it.
func (d *day) closing(context.Context) error {
	d.scene("The day's sales.")
	list, err := d.cli("session", "list")
	d.lines(list)
	return err
}

// cli shows and runs a command.
func (d *day) cli(args ...string) (string, error) {
	d.command(args)
	return d.agent.Run(args...)
}

// sell sells a session and shows the command that does.
func (d *day) sell(h *lab.Host, flags ...string) (harness.Session, error) {
	d.command(append([]string{"session", "create", "--device", h.MAC.String()}, flags...))
	return d.agent.Buy(h.MAC.String(), flags...)
}

// until waits for a condition, with a progress line.
func (d *day) until(ctx context.Context, holds func() (bool, error), progress func() string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %s for %s", patience, progress()))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if held, err := holds(); held || err != nil {
			return err
		}
		d.progress("%s", progress())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
