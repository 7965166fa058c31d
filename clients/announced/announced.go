// SPDX-License-Identifier: Apache-2.0

// Package announced has clients of DHCP and of router advertisements find the address of the
// captive portal's API (RFC 8910).
package announced

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// Run runs the study: each client in a kiosk of its own.
func Run(ctx context.Context, o report.Options) (all []report.Row, err error) {
	for _, client := range []func(context.Context, report.Options) ([]report.Row, error){udhcpc, dhcpcd, networkd} {
		rows, failed := client(ctx, o)
		all, err = append(all, rows...), errors.Join(err, failed)
	}
	return all, err
}

const (
	result = "/tmp/result"
	// leaseTime is how long an exchange may take: clients wait a random time before they ask.
	leaseTime = 15 * time.Second
	// script writes what a client of DHCP says of its lease, and leaves the interface alone.
	script = "#!/bin/sh\nenv >" + result + ".new && mv " + result + ".new " + result + "\n"
)

// dhcp runs a client of DHCP by which the script is called, and looks for a variable.
func dhcp(ctx context.Context, o report.Options, name, variable string, decode func(string) (string, error), command ...string) (_ []report.Row, err error) {
	k, err := kiosk.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	rows := report.New(name, o)
	if err := errors.Join(k.ForgetAddresses(ctx), k.Client.Write(ctx, "/tmp/script", script)); err != nil {
		return nil, err
	}
	if _, err := k.Client.Run(ctx, "chmod", "+x", "/tmp/script"); err != nil {
		return nil, err
	}
	began := time.Now()
	daemon, err := k.Client.Start(command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	var seen string
	err = wait.Until(ctx, variable+" of the lease", func() (bool, error) {
		out, err := k.Client.Run(ctx, "sh", "-c", "cat "+result+" 2>/dev/null || true")
		if _, rest, found := strings.Cut("\n"+out, "\n"+variable+"="); found {
			seen, _, _ = strings.Cut(rest, "\n")
		}
		return seen != "", err
	})
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, daemon.Log())
	} else {
		seen, err = decode(seen)
	}
	rows.Within(took, leaseTime, "before paying, DHCP option 114", kiosk.CaptiveAPI, seen, err)
	return rows.All(), ctx.Err()
}

func udhcpc(ctx context.Context, o report.Options) ([]report.Row, error) {
	decode := func(text string) (string, error) {
		raw, err := hex.DecodeString(text)
		return string(raw), err
	}
	return dhcp(ctx, o, "udhcpc (busybox)", "opt114", decode,
		"busybox", "udhcpc", "-f", "-n", "-q", "-i", lab.Uplink, "-O", "114", "-s", "/tmp/script")
}

func dhcpcd(ctx context.Context, o report.Options) ([]report.Row, error) {
	plain := func(text string) (string, error) { return text, nil }
	return dhcp(ctx, o, "dhcpcd", "new_captive_portal_uri", plain,
		"dhcpcd", "--nobackground", "--noarp", "--ipv4only", "--option", "captive_portal_uri", "--script", "/tmp/script", lab.Uplink)
}
