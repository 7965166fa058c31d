// SPDX-License-Identifier: Apache-2.0

// Package limiter measures what a customer feels of a speed limit: how much of it
// TCP can use, how evenly its flows share it, how much is sent twice, and how a call
// or a game beside a download fares. The agent's limiters stand next to the kernel's
// shaper, HTB, each in a lab of its own:
//
//	customer ---- br-lan, the limit, router ---- delay line ---- server
//
// The server is a delay line away, which has no limit of speed and drops nothing:
// whole windows arrive in bursts, the hardest case for a limiter. Without offloads
// every segment travels by itself; with them the sender's super-packets pass the
// line whole and reach the limiter as they are.
//
// Goodput is the payload of TCP as a share of what the limit leaves for it: the agent
// charges IP packets, so 1448 of 1500 bytes; HTB charges frames, 1448 of 1514.
//
// Labs run side by side, as many as the machine bears: the delay line reports when that
// was too much, and the run is repeated. The cells of a run, the other subjects' too,
// are shuffled. A cell in which the fair limiter misses a goal is measured twice more,
// and the middle figures count; how many cells that were is a figure itself.
package limiter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

// Options say what is measured.
type Options struct {
	Scale    report.Scale
	Agent    string         // the agent's binary
	Cells    *regexp.Regexp // only cells with such a name; nil is all
	Subjects []string       // only these; none is all
}

// Run measures, and adds a row for each figure.
func Run(ctx context.Context, o Options, out *report.Report) error {
	s := &study{Options: o, out: out}
	for _, subject := range subjects(o.Agent) {
		if len(o.Subjects) == 0 || slices.Contains(o.Subjects, subject.name) {
			s.subjects = append(s.subjects, subject)
		}
	}
	if len(s.subjects) == 0 {
		return fmt.Errorf("subjects %q: none of them is known", o.Subjects)
	}
	jobs := slices.Concat(s.tcp(), s.udp(), s.changes(), s.fasts())
	// So that no part of the matrix has a busier neighbourhood than another.
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	if err := s.schedule(ctx, jobs); err != nil {
		return err
	}
	s.summary()
	return nil
}

// study is one run of this part of the benchmark.
type study struct {
	Options
	subjects []subject
	out      *report.Report
}

func (s *study) schedule(ctx context.Context, jobs []job) error {
	started := time.Now()
	return schedule(ctx, jobs, func(n int) {
		elapsed := time.Since(started)
		left := elapsed / time.Duration(n) * time.Duration(len(jobs)-n)
		s.out.Say("limiter: %d of %d, %.0f s, %.0f s left", n, len(jobs), elapsed.Seconds(), left.Seconds())
	})
}

// wanted says whether a cell is asked for, and not there already from a run that was
// interrupted.
func (s *study) wanted(cell string, by subject) bool {
	return (s.Cells == nil || s.Cells.MatchString(cell)) && !s.out.Has(name, cell, by.name)
}

// tcp is a job for each cell of the matrix and each subject.
func (s *study) tcp() (jobs []job) {
	cells := map[report.Scale]func() []cell{report.Quick: few, report.Sampled: sample, report.Full: matrix}[s.Scale]()
	for _, c := range cells {
		for _, subject := range s.subjects {
			if !s.wanted(c.String(), subject) {
				continue
			}
			jobs = append(jobs, job{mbits: c.mbits, run: func(ctx context.Context) error {
				return s.cell(ctx, subject, c)
			}})
		}
	}
	return jobs
}

// cell measures one cell. Single runs scatter: one that misses a goal is measured
// twice more, and the middle of the three counts, of each figure. A quick run has no
// time for that; its bounds are wide instead.
func (s *study) cell(ctx context.Context, by subject, c cell) error {
	r, err := s.undisturbed(ctx, by, c)
	if err != nil {
		return err
	}
	missing := missed(rows(by, c, r))
	if len(missing) > 0 && s.Scale != report.Quick {
		s.out.Say("limiter: %s, %s: misses the goals of %s: twice more", by.name, c, strings.Join(missing, ", "))
		three := []result{r}
		for range 2 {
			if r, err = s.undisturbed(ctx, by, c); err != nil {
				return err
			}
			three = append(three, r)
		}
		r = middle(three)
	}
	s.out.Add(rows(by, c, r)...)
	return nil
}

// undisturbed measures a cell, and once more where the machine disturbed that.
func (s *study) undisturbed(ctx context.Context, by subject, c cell) (result, error) {
	r, err := measure(ctx, by, c)
	if err == nil && r.noisy() && s.Scale != report.Quick {
		s.out.Say("limiter: %s, %s: the delay line was %v late, and lost %d, an echo took %v more: once more",
			by.name, c, r.line.Late, r.line.Dropped+r.line.Failed, r.echoAdded)
		var again result
		if again, err = measure(ctx, by, c); err == nil && (!again.noisy() || again.line.Late < r.line.Late) {
			r = again
		}
	}
	if err != nil {
		return r, fmt.Errorf("%s, %s: %w", by.name, c, err)
	}
	return r, nil
}
