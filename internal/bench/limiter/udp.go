// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/internal/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	floodPort = 9000
	// enough of the speed was offered: with less, the machine stalled the sender.
	enough = 1.9
)

// flood is UDP at twice a speed.
type flood struct {
	mbits   float64
	up      bool
	counted time.Duration
}

func (f flood) String() string {
	direction := "down"
	if f.up {
		direction = "up"
	}
	return fmt.Sprintf("%g Mbit/s udp %s", f.mbits, direction)
}

func (f flood) bitsPerSecond() float64 { return f.mbits * 1e6 }

// filling is the time after which the burst that a limiter allows, two depths at
// most, is over.
func (f flood) filling() time.Duration {
	const depths, margin = 2, 1.5
	depth := max(0.2, 64<<10*8/f.bitsPerSecond())
	return time.Duration(depths * margin * depth * float64(time.Second))
}

// packet is the size that has enough packets counted at low speeds.
func (f flood) packet() int {
	switch {
	case f.mbits < 1:
		return 100
	case f.mbits < 5:
		return 500
	default:
		return mtu
	}
}

func floods(scale report.Scale) (all []flood) {
	if scale == report.Quick {
		return []flood{{mbits: 10, counted: 2 * time.Second}, {mbits: 50, up: true, counted: 2 * time.Second}}
	}
	for _, mbits := range []float64{0.064, 1, 10, 100, 500} {
		for _, up := range []bool{false, true} {
			f := flood{mbits: mbits, up: up, counted: 4 * time.Second}
			if mbits < 1 {
				f.counted *= 2
			}
			all = append(all, f)
		}
	}
	return all
}

// udp is a job for each flood and each subject.
func (s *study) udp() (jobs []job) {
	for _, f := range floods(s.Scale) {
		if !s.wanted(f.String()) {
			continue
		}
		for _, by := range s.subjects {
			jobs = append(jobs, job{mbits: 2 * f.mbits, run: func(ctx context.Context) error {
				return s.flood(ctx, by, f)
			}})
		}
	}
	return jobs
}

// flood measures how exactly a speed is held, by the limiter's own counters.
func (s *study) flood(ctx context.Context, by subject, f flood) error {
	offered, delivered, err := measureFlood(ctx, by, f)
	if err == nil && offered < enough {
		s.out.Say("limiter: %s, %s: only %.2f of it was sent: once more", by.name, f, offered)
		offered, delivered, err = measureFlood(ctx, by, f)
	}
	if err != nil {
		return fmt.Errorf("%s, %s: %w", by.name, f, err)
	}
	row := func(metric string, value float64, unit string) report.Row {
		return report.Row{Study: name, Cell: f.String(), At: f.mbits, Subject: by.name, Metric: metric, Value: value, Unit: unit}
	}
	off := row("udp off its speed", max(delivered-1, 1-delivered)*100, "%")
	if by.name != htbSubject.name {
		off.Goal, off.Bound = report.AtMost(0.5), report.AtMost(10)
	}
	s.out.Add(off, row("udp offered", offered, ""))
	return nil
}

// measureFlood returns what was offered and what was delivered, as shares of the limit.
func measureFlood(ctx context.Context, by subject, f flood) (offered, delivered float64, err error) {
	l, err := lab.New("hs-limiter")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	k, err := l.Kiosk(lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsOff})
	if err != nil {
		return 0, 0, err
	}
	force, err := by.limit(ctx, k, f.bitsPerSecond())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, force.close()) }()
	from, to := k.Server, k.Customers[0]
	if f.up {
		from, to = to, from
	}
	sink, err := to.Sink("udp4", floodPort)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return count(ctx, f, force, func(ctx context.Context) (uint64, error) {
		return from.Blast(ctx, netip.AddrPortFrom(to.Addr4, floodPort), 2*f.bitsPerSecond(), f.packet())
	})
}

// count reads the limiter's counters around a time in which packets are sent.
func count(ctx context.Context, f flood, force limit, send func(context.Context) (uint64, error)) (offered, delivered float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sending errgroup.Group
	var sent uint64
	started := time.Now()
	sending.Go(func() (err error) { sent, err = send(ctx); return err })
	time.Sleep(f.filling())
	before, from, err := reading(ctx, f, force)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(f.counted)
	after, to, err := reading(ctx, f, force)
	cancel()
	took := time.Since(started)
	if err = errors.Join(err, sending.Wait()); err != nil {
		return 0, 0, err
	}
	offered = float64(sent) * float64(f.packet()) * 8 / took.Seconds() / f.bitsPerSecond()
	delivered = float64(after-before) * 8 / to.Sub(from).Seconds() / f.bitsPerSecond()
	return offered, delivered, nil
}

// reading is the count of a flood's direction, and when it was.
func reading(ctx context.Context, f flood, force limit) (bytes uint64, at time.Time, err error) {
	asked := time.Now()
	down, up, err := force.passed(ctx)
	at = asked.Add(time.Since(asked) / 2)
	if f.up {
		return up, at, err
	}
	return down, at, err
}
