// SPDX-License-Identifier: Apache-2.0

// Package networkmanager asks NetworkManager what it makes of the network.
package networkmanager

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/debian"
	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	atOnce = time.Second // most of it is nmcli's own start
	// quiet is longer than a check takes that is not answered.
	quiet = 25 * time.Second
)

const config = `[main]
plugins=keyfile
dhcp=internal
[connectivity]
uri=` + kiosk.NetworkManagerProbe + `
response=` + kiosk.NetworkManagerAnswer + `
`

// Run runs the study, with each after_reboot.
func Run(ctx context.Context, o report.Options) (all []report.Row, err error) {
	for _, reboot := range []string{"pause", "resume"} {
		rows, failed := visit(ctx, o, reboot)
		all, err = append(all, rows...), errors.Join(err, failed)
	}
	rows, failed := behindNFT(ctx, o)
	return append(all, rows...), errors.Join(err, failed)
}

// behindNFT is what the agent's rival does.
func behindNFT(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	k, err := kiosk.OpenNFT(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	version, err := start(ctx, k)
	if err != nil {
		return nil, err
	}
	c := &client{k, report.NewForeign(version+" behind nft", o)}
	c.check(ctx, "before paying, first look", "portal")
	if err := k.Admit(); err != nil {
		return c.rows.All(), err
	}
	c.check(ctx, "on payment", "full")
	if err := download(ctx, k); err != nil {
		return c.rows.All(), err
	}
	c.check(ctx, "after the end", "portal")
	return c.rows.All(), ctx.Err()
}

// download uses the balance up.
func download(ctx context.Context, k *kiosk.Kiosk) error {
	_, err := k.Client.Run(ctx, "sh", "-c", "curl --silent --max-time 10 --output /dev/null "+kiosk.Download+" || true")
	return err
}

type client struct {
	*kiosk.Kiosk
	rows *report.Rows
}

func visit(ctx context.Context, o report.Options, reboot string) (_ []report.Row, err error) {
	k, err := kiosk.Open(ctx, o, "after_reboot: "+reboot)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	version, err := start(ctx, k)
	if err != nil {
		return nil, err
	}
	c := &client{k, report.New(version, o)}
	c.check(ctx, "before paying, first look", "portal")
	if err := k.Pay(); err != nil {
		return c.rows.All(), err
	}
	c.check(ctx, "on payment", "full")
	if err := download(ctx, k); err != nil {
		return c.rows.All(), err
	}
	c.check(ctx, "after the end", "portal")
	if err := errors.Join(k.PayTime(), k.Reboot(ctx)); err != nil {
		return c.rows.All(), err
	}
	wanted := map[string]string{"pause": "portal", "resume": "full"}[reboot]
	c.check(ctx, "after the router's reboot, after_reboot: "+reboot, wanted)
	return c.rows.All(), nil
}

// start starts NetworkManager in the customer's machine, waits until it has a lease, and
// returns its name and version.
func start(ctx context.Context, k *kiosk.Kiosk) (string, error) {
	m := k.Client
	err := errors.Join(k.ForgetAddresses(ctx),
		m.Write(ctx, "/etc/NetworkManager/NetworkManager.conf", config))
	if err != nil {
		return "", err
	}
	bus, err := m.Start("dbus-daemon", "--system", "--nofork", "--nopidfile")
	if err != nil {
		return "", err
	}
	err = wait.Until(ctx, "D-Bus listens", func() (bool, error) {
		_, err := m.Run(ctx, "test", "-S", "/run/dbus/system_bus_socket")
		return err == nil, bus.Check()
	})
	if err != nil {
		return "", err
	}
	daemon, err := m.Start("NetworkManager", "--no-daemon")
	if err != nil {
		return "", err
	}
	err = wait.Until(ctx, "NetworkManager is connected", func() (bool, error) {
		state, err := m.Run(ctx, "nmcli", "--terse", "--fields", "STATE", "general")
		if err != nil {
			return false, daemon.Check()
		}
		return strings.HasPrefix(state, "connected"), nil
	})
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, daemon.Log())
	}
	return name(ctx, m)
}

func name(ctx context.Context, m *debian.Machine) (string, error) {
	version, err := m.Run(ctx, "NetworkManager", "--version")
	return "NetworkManager " + strings.TrimSpace(version), err
}

// check has NetworkManager look again, and adds a row with what it says.
func (c *client) check(ctx context.Context, when, wanted string) {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	began := time.Now()
	seen, err := c.Client.Run(ctx, "nmcli", "networking", "connectivity", "check")
	c.rows.Within(time.Since(began), atOnce, when, wanted, strings.TrimSpace(seen), err)
}
