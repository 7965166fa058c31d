// SPDX-License-Identifier: Apache-2.0

package kiosk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Allowance is what Pay buys: enough for pages, and used up by a download at once.
const Allowance = "20MB"

// Pay buys data for the customer and connects.
func (k *Kiosk) Pay() error { return k.buy("--type", "data", "--data", Allowance) }

// PayTime buys an hour for the customer and connects.
func (k *Kiosk) PayTime() error { return k.buy("--type", "time", "--time", "1h") }

func (k *Kiosk) buy(flags ...string) error {
	device := k.Customers[0].MAC.String()
	if _, err := k.Agent.Buy(device, flags...); err != nil {
		return err
	}
	return k.Connect()
}

// Connect connects the customer; there has to be a balance.
func (k *Kiosk) Connect() error {
	status, err := k.Agent.Connect(k.Customers[0].MAC.String())
	if err == nil && !status.Connected {
		err = fmt.Errorf("connect answered %+v", status)
	}
	return err
}

// Reboot stops the agent, takes all that it has in the kernel, and starts it again in what is
// another boot to it.
func (k *Kiosk) Reboot(ctx context.Context) error {
	if err := k.Agent.Stop(); err != nil {
		return err
	}
	if _, err := k.Agent.Run("detach", "--config", k.Agent.Config()); err != nil {
		return err
	}
	id := filepath.Join(k.Agent.Dir(), "boot_id")
	binary, err := filepath.Abs(k.options.Agent)
	if err != nil {
		return err
	}
	other := filepath.Join(k.Agent.Dir(), "rebooted")
	err = errors.Join(
		os.WriteFile(id, []byte(newBootID()+"\n"), 0o444),
		os.WriteFile(other, fmt.Appendf(nil, otherBoot, id, binary), 0o700))
	if err != nil {
		return err
	}
	k.Agent.SetBinary(other)
	return errors.Join(k.Agent.Start(), ctx.Err())
}

// otherBoot runs the agent where the kernel's boot has another id.
const otherBoot = `#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"' '%s' '%s' "$@"
`

func newBootID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return fmt.Sprintf("%x-%x-%x-%x-%x", random[:4], random[4:6], random[6:8], random[8:10], random[10:])
}
