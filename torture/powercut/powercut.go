// SPDX-License-Identifier: Apache-2.0

// Package powercut cuts the power of a machine that runs the agent, at any time: a
// virtual one, whose disk loses what was not flushed. Its clock has no
// battery, or one that is wrong.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hotspot-agent/hotspot-agent/torture/disk"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// Run has a file system forget what was not synced, and then, where there is time for
// machines that are emulated to come up, cuts the power of one.
func Run(ctx context.Context, o report.Options) ([]report.Row, error) {
	row, err := disk.Cuts(ctx, o)
	rows := []report.Row{row}
	if err != nil || o.Scale == report.Short {
		return rows, err
	}
	more, err := machines(ctx, o)
	return append(rows, more...), err
}

// machines cuts the power again and again, each time of the machine that came up from
// what the cut before left.
func machines(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	// The number of flushes of the guest differs between runs: the disk's chances are its own.
	m, err := newMachine(o.Agent, rand.New(rand.NewPCG(o.Seed, 7)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	t := &trial{machine: m, random: rand.New(rand.NewPCG(o.Seed, 1)), say: o.Say}
	w := newWitness()
	for n := range boots {
		if err := t.once(ctx, w, n); err != nil {
			return w.rows(t), fmt.Errorf("boot %d: %w", n+1, err)
		}
	}
	return w.rows(t), nil
}

// boots of one machine; what is cut in one is judged by the next.
const boots = 15

// trial is the cuts up to now.
type trial struct {
	*machine
	random *rand.Rand
	say    func(string, ...any)

	cuts   int // that a boot judged
	tore   int // of them, that lost a write
	writes int // that cuts found unflushed
	lost   int // of them, whole or in part
	clocks int // boots with a wrong clock
}

// clocks of the machine: as it should be, without a battery, years ahead.
var clocks = []string{"utc", "1970-01-01T00:00:00", "utc", "2060-01-01T00:00:00"}

// patience is for a machine that is emulated to come up.
const patience = 10 * time.Minute

// once boots, judges what the cut before left, and cuts.
func (t *trial) once(ctx context.Context, w *witness, n int) error {
	after := []string{"pause", "resume"}[n%2]
	rtc := clocks[n%len(clocks)]
	if rtc != "utc" {
		t.clocks++
	}
	g, err := t.boot(after, rtc)
	if err != nil {
		return err
	}
	began, upAfter := time.Now(), time.Duration(0)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = g.cmd.Process.Kill() })
	defer stop()
	w.boot(after)
	// The cut comes so many lines after the agent is up, and then some time, in which it
	// continues: not always when something has just reached the disk.
	limit, then := 1+t.random.IntN(120), t.upTo(8*time.Second)
	// A machine at rest loses nothing, and this one rests most of the time.
	aimed, late := t.random.IntN(3) > 0, t.upTo(shortestFlush)
	for g.says.Scan() {
		reported, err := w.hear(g.says.Text())
		if err != nil {
			return errors.Join(err, g.off())
		}
		if !reported || !w.up {
			continue
		}
		if upAfter == 0 {
			upAfter = time.Since(began)
		}
		if limit--; limit == 0 {
			time.AfterFunc(then, func() {
				if aimed {
					t.disk.awaitWrite(ctx)
					time.Sleep(late)
				}
				_ = g.cmd.Process.Kill()
			})
		}
	}
	if err := g.off(); err != nil {
		return err
	}
	if ctx.Err() != nil || !w.up {
		return fmt.Errorf("the agent did not come up within %s: %q", time.Since(began).Round(time.Second), w.last)
	}
	unflushed, lost := t.cut(n)
	t.say("boot %d (%s, clock %s): up after %s; %d purchases so far, %d of %d unflushed writes lost in the cut",
		n+1, after, rtc, upAfter.Round(time.Second/10), len(w.bought), lost, unflushed)
	return nil
}

// upTo is some time.
func (t *trial) upTo(most time.Duration) time.Duration {
	return time.Duration(t.random.Int64N(int64(most)))
}

// cut takes the disk's power, too, when the writes of the machine have arrived there.
func (t *trial) cut(n int) (unflushed, lost int) {
	t.guests.Wait()
	unflushed, lost = t.disk.cut()
	if n+1 == boots {
		return unflushed, lost // not part of the result
	}
	t.cuts, t.writes, t.lost = t.cuts+1, t.writes+unflushed, t.lost+lost
	if lost > 0 {
		t.tore++
	}
	return unflushed, lost
}
