// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// summary counts the events of tests. Not safe for concurrent use.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	ended                   map[string]int              // package -> tests that ended
	broken                  map[string]bool             // package -> a test of it failed
	output                  map[string]*strings.Builder // package and test -> its output
}

// slowTest is printed on a line of its own, so that a long package shows progress.
const slowTest = 5 * time.Second

func newSummary(out io.Writer) *summary {
	return &summary{out: out, ended: map[string]int{}, broken: map[string]bool{}, output: map[string]*strings.Builder{}}
}

func (s *summary) good() bool { return s.failed == 0 && s.skipped == 0 && s.passed > 0 }

func (s *summary) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", s.passed, s.failed, s.skipped)
}

func (s *summary) read(events io.Reader) error {
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		s.add(e)
	}
}

func (s *summary) add(e event) {
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.out, e.Output)
	case e.Action == "output":
		s.buffer(e)
	case e.Test != "":
		s.endOfTest(e)
	default:
		s.endOfPackage(e)
	}
}

func (s *summary) buffer(e event) {
	key := e.Package + " " + e.Test
	if s.output[key] == nil {
		s.output[key] = &strings.Builder{}
	}
	s.output[key].WriteString(e.Output)
}

func (s *summary) endOfTest(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "pass":
		s.passed++
		if !strings.Contains(e.Test, "/") && e.Elapsed >= slowTest.Seconds() {
			fmt.Fprintf(s.out, "     %s (%.1f s)\n", e.Test, e.Elapsed)
		}
	case "fail", "skip":
		if e.Action == "fail" {
			s.failed++
			s.broken[e.Package] = true
		} else {
			s.skipped++
		}
		if kept := s.output[key]; kept != nil {
			fmt.Fprint(s.out, kept.String())
		}
	default:
		return // run, pause, cont, bench
	}
	s.ended[e.Package]++
	delete(s.output, key)
}

func (s *summary) endOfPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok   %s (%d tests, %.1f s)\n", e.Package, s.ended[e.Package], e.Elapsed)
	case "fail":
		// A panic, a time-out or a failed build ends a package without a failed test.
		if !s.broken[e.Package] {
			s.failed++
		}
		for key, kept := range s.output {
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(s.out, kept.String())
			}
		}
		fmt.Fprintf(s.out, "FAIL %s (%.1f s)\n", e.Package, e.Elapsed)
	case "skip": // no test files
	default:
		return
	}
	for key := range s.output {
		if strings.HasPrefix(key, e.Package+" ") {
			delete(s.output, key)
		}
	}
}
