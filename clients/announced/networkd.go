// SPDX-License-Identifier: Apache-2.0

package announced

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// networkd asks systemd-networkd, once with a lease of DHCP and once with router advertisements
// alone.
func networkd(ctx context.Context, o report.Options) (all []report.Row, err error) {
	for when, config := range map[string]string{
		"before paying, DHCP option 114":      "DHCP=ipv4\nIPv6AcceptRA=no\n",
		"before paying, router advertisement": "DHCP=no\nIPv6AcceptRA=yes\n",
	} {
		rows, failed := manage(ctx, o, when, config)
		all, err = append(all, rows...), errors.Join(err, failed)
	}
	return all, err
}

func manage(ctx context.Context, o report.Options, when, config string) (_ []report.Row, err error) {
	k, err := kiosk.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := errors.Join(k.Advertise(ctx), k.ForgetAddresses(ctx)); err != nil {
		return nil, err
	}
	err = k.Client.Write(ctx, "/etc/systemd/network/10-uplink.network", "[Match]\nName="+lab.Uplink+"\n[Network]\n"+config)
	if err != nil {
		return nil, err
	}
	// As the service's unit makes it.
	const folders = "install -d -o systemd-network -g systemd-network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp"
	if _, err := k.Client.Run(ctx, "sh", "-c", "mkdir -p /run/systemd/netif && chown systemd-network:systemd-network /run/systemd/netif && "+folders); err != nil {
		return nil, err
	}
	rows := report.New("systemd-networkd", o)
	began := time.Now()
	daemon, err := k.Client.Start("/usr/lib/systemd/systemd-networkd")
	if err != nil {
		return nil, err
	}
	var seen string
	err = wait.Until(ctx, "CAPTIVE_PORTAL of the link", func() (bool, error) {
		out, err := k.Client.Run(ctx, "sh", "-c", "cat /run/systemd/netif/links/* 2>/dev/null || true")
		if _, rest, found := strings.Cut(out, "CAPTIVE_PORTAL="); found {
			seen, _, _ = strings.Cut(rest, "\n")
		}
		return seen != "", errors.Join(err, daemon.Check())
	})
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, daemon.Log())
	}
	rows.Within(took, leaseTime, when, kiosk.CaptiveAPI, seen, err)
	return rows.All(), ctx.Err()
}
