// SPDX-License-Identifier: Apache-2.0

// Package callpath counts what the agent runs through for one connect and for one end of a
// data session: functions, files, file-border crossings, calls and SQLite transactions. It
// compiles the agent with a tracer at the entry of each function of pkg/ and cmd/, and
// plays both in a lab. The counts are about how the code is cut, not about speed.
package callpath

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/source"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	study  = "callpath"
	module = "github.com/hotspot-agent/hotspot-agent"
	// bought are the bytes of the session that is used up.
	bought   = 100_000
	sinkPort = 7011
	patience = 10 * time.Second
	// quietTime is how long after the last event the other goroutines are still recorded.
	quietTime = 300 * time.Millisecond
)

// goals of the figures of a cell, by metric.
var goals = map[string]map[string]float64{
	"connect":               {"files": 40, "crossings": 120, "calls": 250},
	"end of a data session": {"files": 30, "crossings": 90, "read transactions": 1, "write transactions": 1},
}

// Run counts in the working tree, and in a revision of it where one is named. It writes the
// two paths through the working tree, call by call, to a file in the folder.
func Run(ctx context.Context, revision, folder string, out *report.Report) error {
	root, err := source.Root(ctx)
	if err != nil {
		return err
	}
	text, err := measure(ctx, root, "agent", out)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "callpath.txt"), text, 0o644); err != nil || revision == "" {
		return err
	}
	old, err := os.MkdirTemp("", "callpath-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(old) }()
	if err := source.Extract(ctx, root, revision, old); err != nil {
		return err
	}
	_, err = measure(ctx, old, revision, out)
	return err
}

func measure(ctx context.Context, root, subject string, out *report.Report) (text []byte, err error) {
	dir, err := os.MkdirTemp("", "callpath-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, functions, err := build(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	s, err := open(binary, filepath.Join(dir, "trace"), functions)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, cell := range []struct {
		name string
		play func(context.Context) error
	}{{"connect", s.connect}, {"end of a data session", s.useUp}} {
		paths, err := s.record(ctx, cell.play)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cell.name, err)
		}
		add(out, cell.name, subject, paths)
		text = fmt.Appendf(text, "== %s\n%s\n\n", cell.name, paths[0])
	}
	return text, nil
}

// add reports the longest path as rows, and the others as lines.
func add(out *report.Report, cell, subject string, paths []callPath) {
	for i, p := range paths {
		f := p.figures()
		out.Say("%s, %s, goroutine of %s: %d calls, %d functions, %d files, %d crossings (%d returns), %d package crossings, %d reads, %d writes",
			subject, cell, p.calls[0].name, f.calls, f.functions, f.files, f.crossings, f.returns, f.packages, f.reads, f.writes)
		if i > 0 {
			continue
		}
		for _, m := range []struct {
			name  string
			value int
		}{
			{"calls", f.calls}, {"functions", f.functions}, {"files", f.files}, {"crossings", f.crossings}, {"returns", f.returns},
			{"read transactions", f.reads}, {"write transactions", f.writes},
		} {
			row := report.Row{Study: study, Cell: cell, Subject: subject, Metric: m.name, Value: float64(m.value)}
			if goal, ok := goals[cell][m.name]; ok && subject == "agent" {
				row.Goal = report.AtMost(goal)
			}
			out.Add(row)
		}
	}
}

// scene is a kiosk with one customer, whose router runs the instrumented agent.
type scene struct {
	lab       *lab.Lab
	kiosk     *lab.Kiosk
	agent     *harness.Agent
	api       *harness.API
	events    chan string
	trace     string // the tracer's file
	functions []function
}

func open(binary, trace string, functions []function) (s *scene, err error) {
	s = &scene{trace: trace, functions: functions, events: make(chan string, 100)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.lab, err = lab.New("hs-path"); err != nil {
		return s, err
	}
	if s.kiosk, err = s.lab.Kiosk(lab.KioskConfig{Customers: 1}); err != nil {
		return s, err
	}
	// No checkpoint falls into a recording.
	if s.agent, err = harness.New(s.kiosk, binary, "checkpoint: 5m"); err != nil {
		return s, err
	}
	if err = os.Setenv("CALLPATH_TRACE", trace); err != nil {
		return s, err
	}
	if err = s.agent.Start(); err != nil {
		return s, err
	}
	s.api = s.agent.API()
	_, err = s.agent.Buy(s.device(), "--type", "data", "--data", fmt.Sprintf("%dB", bought))
	return s, err
}

func (s *scene) close() (err error) {
	if s.api != nil {
		s.api.Close()
	}
	if s.agent != nil {
		err = s.agent.Close()
	}
	if s.kiosk != nil {
		err = errors.Join(err, s.kiosk.Close())
	}
	if s.lab != nil {
		err = errors.Join(err, s.lab.Close())
	}
	return err
}

func (s *scene) device() string { return s.kiosk.Customers[0].MAC.String() }

// connect runs the command, on a connection of its own.
func (s *scene) connect(context.Context) error {
	_, err := s.agent.Connect(s.device())
	return err
}

// useUp sends packets until the kernel ends the session, and waits for the events of it.
func (s *scene) useUp(ctx context.Context) error {
	sink, err := s.kiosk.Server.Sink("udp4", sinkPort)
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }()
	conn, err := s.kiosk.Customers[0].Dial(ctx, "udp", fmt.Sprintf("%s:%d", s.kiosk.Server.Addr4, sinkPort))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	const packet = 1000
	for sent := 0; sent < 2*bought; sent += packet {
		if _, err := conn.Write(make([]byte, packet)); err != nil {
			return err
		}
	}
	for {
		select {
		case event := <-s.events:
			if event == "client.disconnected" {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("no event of the end of the session: %w", ctx.Err())
		}
	}
}

// record plays something while the tracer records, with one subscriber to the events.
func (s *scene) record(ctx context.Context, play func(context.Context) error) ([]callPath, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx) })
	if err := wait.For(ctx, quietTime); err != nil { // the subscriber is there
		return nil, err
	}
	if _, err := s.signal(ctx, syscall.SIGUSR1); err != nil {
		return nil, err
	}
	if err := errors.Join(play(ctx), wait.For(ctx, quietTime)); err != nil {
		return nil, err
	}
	recording, err := s.signal(ctx, syscall.SIGUSR2)
	if err != nil {
		return nil, err
	}
	cancel()
	following.Wait()
	paths, err := read(bytes.NewReader(recording), s.functions)
	if err == nil && !slices.ContainsFunc(paths, func(p callPath) bool { return p.figures().writes > 0 }) {
		err = errors.New("no write transaction in the recording: have the functions of the store been renamed?")
	}
	return paths, err
}

// follow passes on the types of events until ctx ends.
func (s *scene) follow(ctx context.Context) {
	_ = s.api.Lines(ctx, "/events", func(line []byte) bool {
		var event struct{ Type string }
		if json.Unmarshal(line, &event) == nil {
			s.events <- event.Type
		}
		return true
	})
}

// signal starts or ends a recording, and returns the file that the tracer writes then.
func (s *scene) signal(ctx context.Context, sig syscall.Signal) (text []byte, err error) {
	if err := syscall.Kill(s.agent.PID(), sig); err != nil {
		return nil, err
	}
	err = wait.Until(ctx, "the tracer's file", func() (bool, error) {
		text, err = os.ReadFile(s.trace)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	})
	return text, errors.Join(err, os.Remove(s.trace))
}
