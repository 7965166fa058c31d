// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	sinkPort     = 9000
	bitsPerSec   = 2e6
	packetBytes  = 1000
	pollInterval = 100 * time.Millisecond
	checkpoint   = time.Second
)

// kiosk has a connected customer, an unpaid one, and an agent whose
// state is on a disk of its own.
type kiosk struct {
	*fixture.Fixture
	disk *image
	paid int64 // the connected session

	mu       sync.Mutex
	answered []int64 // purchases
}

func openKiosk(o report.Options) (k *kiosk, err error) {
	b, err := fixture.New(o, lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside}, "checkpoint: "+checkpoint.String())
	if err != nil {
		return nil, err
	}
	k = &kiosk{Fixture: b, disk: newImage(b.Agent.Database())}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	b.OnClose(k.removeDisk)
	if err := errors.Join(k.disk.make(), b.Agent.Start()); err != nil {
		return nil, err
	}
	sold, err := b.Agent.Buy(b.Kiosk.Customers[0].MAC.String(), "--type", "data", "--data", "10GB")
	if err != nil {
		return nil, err
	}
	k.paid, k.answered = sold.ID, []int64{sold.ID}
	_, err = b.Agent.Connect(b.Kiosk.Customers[0].MAC.String())
	return k, err
}

// removeDisk finds the disk in any state, a frozen one for which the agent waits too.
func (k *kiosk) removeDisk() error {
	_ = k.thaw() // fails on all but a frozen one
	return errors.Join(k.Agent.Stop(), k.disk.remove())
}

// buy sells a session to the customer that is not connected.
func (k *kiosk) buy() error {
	var s harness.Session
	err := k.API.Call(context.Background(), "POST", "/sessions",
		map[string]any{"device": k.Kiosk.Customers[1].MAC.String(), "type": "time", "time_secs": 3600}, &s)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered = append(k.answered, s.ID)
	return nil
}

// buyLater buys in the background; it fails when the agent is down.
func (k *kiosk) buyLater(down bool) <-chan error {
	answer := make(chan error, 1)
	if down {
		answer <- nil
		return answer
	}
	go func() { answer <- k.buy() }()
	return answer
}

// sellAgain waits until a purchase is stored.
func (k *kiosk) sellAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*mostRecovery)
	defer cancel()
	for {
		err := k.buy()
		if err == nil {
			return nil
		}
		if wait.For(ctx, pollInterval) != nil {
			return fmt.Errorf("the disk is well again, and still: %w", err)
		}
	}
}

// problems is what the status says of the agent's health.
func (k *kiosk) problems() (string, error) {
	var status struct {
		Health struct{ Problems []string }
	}
	err := k.Agent.JSON(&status, "status")
	return strings.Join(status.Health.Problems, "; "), err
}

// lostPurchases counts those that were answered and are not there.
func (k *kiosk) lostPurchases() (lost int64, err error) {
	var stored []harness.Session
	if err := k.Agent.JSON(&stored, "session", "list"); err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range k.answered {
		if !slices.ContainsFunc(stored, func(s harness.Session) bool { return s.ID == id }) {
			lost++
		}
	}
	return lost, nil
}
