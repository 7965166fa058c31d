// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
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

// depth is the burst that the agent allows, in seconds of the speed.
func (f flood) depth() float64 { return max(0.2, 64<<10*8/f.bitsPerSecond()) }

// filling is the time after which the burst, two depths at most, is over.
func (f flood) filling() time.Duration {
	const depths, margin = 2, 1.5
	return time.Duration(depths * margin * f.depth() * float64(time.Second))
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
		return []flood{{mbits: 10, counted: 2 * time.Second}, {mbits: 20, up: true, counted: 2 * time.Second}}
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
		for _, by := range s.subjects {
			if !s.wanted(f.String(), by) {
				continue
			}
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
	if err == nil && offered < enough && s.Scale != report.Quick {
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
	err = by.inForce(ctx, lab.KioskConfig{Offloads: lab.OffloadsOff}, f.bitsPerSecond(), func(k *lab.Kiosk, force limit) error {
		started := time.Now()
		stop, err := f.start(ctx, k, 2*f.bitsPerSecond())
		if err != nil {
			return err
		}
		if err = wait.For(ctx, f.filling()); err == nil {
			delivered, err = f.delivered(ctx, force, f.counted)
		}
		took := time.Since(started)
		sent, stopped := stop()
		offered = float64(sent) * float64(f.packet()) * 8 / took.Seconds()
		return errors.Join(err, stopped)
	})
	return offered / f.bitsPerSecond(), delivered / f.bitsPerSecond(), err
}

// start sends packets until the returned function is called, which says how many.
func (f flood) start(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (stop func() (sent uint64, err error), err error) {
	from, to := k.Server, k.Customers[0]
	if f.up {
		from, to = to, from
	}
	sink, err := to.Sink("udp4", floodPort)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var sending errgroup.Group
	var sent uint64
	sending.Go(func() (err error) {
		sent, err = from.Blast(ctx, netip.AddrPortFrom(to.Addr4, floodPort), bitsPerSecond, f.packet())
		return err
	})
	return func() (uint64, error) {
		cancel()
		err := sending.Wait()
		return sent, errors.Join(err, sink.Close())
	}, nil
}

// delivered is the bits per second that the limiter counts for a while.
func (f flood) delivered(ctx context.Context, force limit, counted time.Duration) (bitsPerSecond float64, err error) {
	before, from, err := f.reading(ctx, force)
	if err != nil {
		return 0, err
	}
	if err := wait.For(ctx, counted); err != nil {
		return 0, err
	}
	after, to, err := f.reading(ctx, force)
	return float64(after-before) * 8 / to.Sub(from).Seconds(), err
}

// reading is the limiter's count of the flood's direction, with its time. An answer that
// took long has no exact time: reading repeats the query.
func (f flood) reading(ctx context.Context, force limit) (bytes uint64, at time.Time, err error) {
	const prompt, tries = 4 * time.Millisecond, 20
	for range tries {
		asked := time.Now()
		down, up, err := force.passed(ctx)
		took := time.Since(asked)
		at, bytes = asked.Add(took/2), down
		if f.up {
			bytes = up
		}
		if err != nil || took < prompt {
			return bytes, at, err
		}
	}
	return bytes, at, nil
}
