// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
)

const (
	sinkPort  = 9000
	mtu       = 1500
	patience  = 30 * time.Second
	look      = 5 * time.Millisecond
	flowing   = 100 // packets that say that traffic goes on
	upBits    = 2e6
	downBits  = 6e6
	speedFlag = "50" // Mbit/s: the limiter works, and does not limit
)

// kiosk has a customer who paid, with numbered packets both ways, and one who did not
// and sends all the same. What arrives is counted at the far ends.
type kiosk struct {
	*lab.Kiosk
	agent   *rig.Agent
	session rig.Session
	since   time.Time // connected
	wire    *lab.Wire
	flows   []*flow
	others  sync.WaitGroup // who sends without having paid
	stops   []func() error
	unpaid  *lab.Counter // at the server: of the customer who did not pay
}

// flow is a stream of numbered packets.
type flow struct {
	sink *lab.Sink
	sent uint64
	err  error
	done chan struct{}
}

const payer, stranger = 0, 1

func open(ctx context.Context, l *lab.Lab, binary string) (k *kiosk, err error) {
	k = new(kiosk)
	if k.Kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside}); err != nil {
		return k, err
	}
	if k.agent, err = rig.New(k.Kiosk, binary, "checkpoint: 1h", "limiter: fair"); err != nil {
		return k, err
	}
	k.stops = append(k.stops, k.agent.Close)
	if err := k.agent.Start(); err != nil {
		return k, err
	}
	if k.wire, err = k.Wire(payer); err != nil {
		return k, err
	}
	if k.unpaid, err = k.Server.Count(lab.Ingress, lab.Uplink, "ip saddr "+k.Customers[stranger].Addr4.String()); err != nil {
		return k, err
	}
	if err := k.sell(); err != nil {
		return k, err
	}
	return k, k.send(ctx)
}

func (k *kiosk) sell() (err error) {
	device := k.Customers[payer].MAC.String()
	k.session, err = k.agent.Buy(device, "--type", "time_or_data", "--time", "10h", "--data", "100GB", "--down", speedFlag, "--up", speedFlag)
	if err != nil {
		return err
	}
	k.since = time.Now()
	_, err = k.agent.Connect(device)
	return err
}

// send starts the payer's traffic both ways, and the stranger's.
func (k *kiosk) send(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	k.stops = append(k.stops, func() error { cancel(); return k.ended() })
	server := netip.AddrPortFrom(k.Server.Addr4, sinkPort)
	customer := netip.AddrPortFrom(k.Customers[payer].Addr4, sinkPort)
	if err := k.flow(ctx, k.Customers[payer], k.Server, server, upBits); err != nil {
		return err
	}
	if err := k.flow(ctx, k.Server, k.Customers[payer], customer, downBits); err != nil {
		return err
	}
	k.others.Go(func() { _, _ = k.Customers[stranger].Blast(ctx, server, upBits, mtu) })
	return k.goesOn()
}

func (k *kiosk) flow(ctx context.Context, from, at *lab.Host, to netip.AddrPort, bits float64) error {
	sink, err := at.Sink("udp4", sinkPort)
	if err != nil {
		return err
	}
	sink.Keep()
	f := &flow{sink: sink, done: make(chan struct{})}
	k.flows = append(k.flows, f)
	go func() {
		defer close(f.done)
		f.sent, f.err = from.Blast(ctx, to, bits, mtu)
	}()
	return nil
}

// goesOn waits until packets flow both ways.
func (k *kiosk) goesOn() error {
	for _, f := range k.flows {
		from := f.sink.Read().Packets
		if err := until("traffic", func() bool { return f.sink.Read().Packets > from+flowing }); err != nil {
			return err
		}
	}
	return nil
}

func until(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(look) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for: %s", patience, what)
		}
	}
	return nil
}

var limiterLine = regexp.MustCompile(`(?m)^limiter: .*$`)

// become stops the agent, cleanly or not, and starts another version of it.
func (k *kiosk) become(v version, kill bool) error {
	stop := k.agent.Stop
	if kill {
		stop = k.agent.Kill
	}
	config, err := os.ReadFile(k.agent.Config())
	if err != nil {
		return err
	}
	config = limiterLine.ReplaceAll(config, []byte("limiter: "+v.limiter))
	if err := errors.Join(stop(), os.WriteFile(k.agent.Config(), config, 0o600)); err != nil {
		return err
	}
	if err := k.goesOn(); err != nil { // without any agent
		return err
	}
	k.agent.Use(v.binary)
	return errors.Join(k.agent.Start(), k.goesOn())
}

// quiet ends the traffic, and waits for the last packet.
func (k *kiosk) quiet() error {
	err := k.stops[len(k.stops)-1]()
	k.stops = k.stops[:len(k.stops)-1]
	for _, f := range k.flows {
		err = errors.Join(err, until("the last packet", func() bool { return lab.Boottime()-f.sink.Read().Last > lab.Silence }))
	}
	return err
}

// ended waits for the senders.
func (k *kiosk) ended() (err error) {
	k.others.Wait()
	for _, f := range k.flows {
		<-f.done
		err = errors.Join(err, f.err)
	}
	return err
}

// paid sends from the former stranger, who bought meanwhile: the counter sees that.
func (k *kiosk) paid(before lab.Count) error {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Silence)
	defer cancel()
	server := netip.AddrPortFrom(k.Server.Addr4, sinkPort)
	if _, err := k.Customers[stranger].Blast(ctx, server, upBits, mtu); err != nil {
		return err
	}
	after, err := k.unpaid.Read()
	if err == nil && after.Packets == before.Packets {
		err = errors.New("the count of unpaid packets does not see paid ones either")
	}
	return err
}

// close undoes what open did, in reverse.
func (k *kiosk) close() (err error) {
	for i := len(k.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, k.stops[i]())
	}
	for _, f := range k.flows {
		_ = f.sink.Close()
	}
	return err
}
