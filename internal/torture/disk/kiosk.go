// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/report"
)

const (
	sinkPort     = 9000
	bitsPerSec   = 2e6
	packetBytes  = 1000
	pollInterval = 100 * time.Millisecond
	checkpoint   = time.Second
)

// kiosk has a customer who paid and is connected, one who did not, and an agent whose
// state is on a disk of its own.
type kiosk struct {
	*lab.Kiosk
	agent *rig.Agent
	api   *rig.API
	disk  *image
	paid  int64 // the connected session

	mu       sync.Mutex
	answered []int64 // purchases
}

func openKiosk(o report.Options) (k *kiosk, err error) {
	l, err := lab.New("hs-disk")
	if err != nil {
		return nil, err
	}
	k = &kiosk{}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close(), l.Close())
		}
	}()
	if k.Kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside}); err != nil {
		return k, err
	}
	if k.agent, err = rig.New(k.Kiosk, o.Agent, "checkpoint: "+checkpoint.String()); err != nil {
		return k, err
	}
	if k.disk, err = newImage(k.agent.Database()); err != nil {
		return k, err
	}
	k.api = k.agent.API()
	if err := k.agent.Start(); err != nil {
		return k, err
	}
	sold, err := k.agent.Buy(k.Customers[0].MAC.String(), "--type", "data", "--data", "10GB")
	if err != nil {
		return k, err
	}
	k.paid, k.answered = sold.ID, []int64{sold.ID}
	_, err = k.agent.Connect(k.Customers[0].MAC.String())
	return k, err
}

func (k *kiosk) close() error {
	var errs []error
	if k.api != nil {
		k.api.Close()
	}
	if k.agent != nil {
		errs = append(errs, k.agent.Stop())
	}
	if k.disk != nil {
		errs = append(errs, k.disk.remove())
	}
	if k.agent != nil {
		errs = append(errs, k.agent.Close())
	}
	if k.Kiosk != nil {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// buy sells the customer who is not connected a session.
func (k *kiosk) buy() error {
	var s rig.Session
	err := k.api.Call(context.Background(), "POST", "/sessions",
		map[string]any{"device": k.Customers[1].MAC.String(), "type": "time", "time_secs": 3600}, &s)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered = append(k.answered, s.ID)
	return nil
}

// buyLater buys in the background; nobody can when the agent is down.
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
		if ctx.Err() != nil {
			return fmt.Errorf("the disk is well again, and still: %w", err)
		}
		time.Sleep(pollInterval)
	}
}

// problems is what the status says of the agent's health.
func (k *kiosk) problems() (string, error) {
	var status struct {
		Health struct{ Problems []string }
	}
	err := k.agent.JSON(&status, "status")
	return strings.Join(status.Health.Problems, "; "), err
}

// lostPurchases counts those that were answered and are not there.
func (k *kiosk) lostPurchases() (lost int64, err error) {
	var stored []rig.Session
	if err := k.agent.JSON(&stored, "session", "list"); err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range k.answered {
		if !slices.ContainsFunc(stored, func(s rig.Session) bool { return s.ID == id }) {
			lost++
		}
	}
	return lost, nil
}

// traffic is what goes to both customers during a fault.
type traffic struct {
	k       *kiosk
	sinks   [2]*lab.Sink
	carried *lab.Counter // to the customer who paid
	used    uint64       // before
	stop    context.CancelFunc
	sent    [2]chan uint64
}

func (k *kiosk) traffic(ctx context.Context) (*traffic, error) {
	t := &traffic{k: k}
	before, err := k.agent.Session(k.paid)
	if err != nil {
		return nil, err
	}
	t.used = before.DataUsedBytes
	if t.carried, err = k.Customers[0].Count(lab.Ingress, lab.Uplink, "ip saddr "+lab.Server4); err != nil {
		return nil, err
	}
	ctx, t.stop = context.WithCancel(ctx)
	for i, c := range k.Customers {
		if t.sinks[i], err = c.Sink("udp4", sinkPort); err != nil {
			return nil, err
		}
		t.sent[i] = make(chan uint64, 1)
		go func() {
			n, _ := k.Server.Blast(ctx, netip.AddrPortFrom(c.Addr4, sinkPort), bitsPerSec, packetBytes)
			t.sent[i] <- n
		}()
	}
	return t, nil
}

// end compares what was sent, carried and counted.
func (t *traffic) end() (bytes, lost, unpaid report.Figure, err error) {
	t.stop()
	sent := [2]uint64{<-t.sent[0], <-t.sent[1]}
	for deadline := time.Now().Add(5 * time.Second); t.sinks[0].Read().Packets < sent[0] && time.Now().Before(deadline); {
		time.Sleep(pollInterval)
	}
	arrived, passed := t.sinks[0].Read().Packets, t.sinks[1].Read().Packets
	if err = errors.Join(t.sinks[0].Close(), t.sinks[1].Close()); err != nil {
		return
	}
	carried, err := t.carried.Read()
	if err != nil {
		return
	}
	after, err := t.k.agent.Session(t.k.paid)
	if err != nil {
		return
	}
	if sent[1] == 0 || arrived == 0 {
		err = fmt.Errorf("no traffic: %d packets arrived, %d were tried without paying", arrived, sent[1])
		return
	}
	wrong := int64(after.DataUsedBytes-t.used) - int64(carried.Bytes)
	return report.Zero(max(wrong, -wrong)), report.Zero(int64(sent[0]) - int64(arrived)), report.Zero(int64(passed)), nil
}
