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

// tally adds up the events of tests. Not safe for concurrent use.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	ended                   map[string]int              // package -> tests that ended
	broken                  map[string]bool             // package -> a test of it failed
	output                  map[string]*strings.Builder // package and test -> what it printed
}

// slowTest is worth a line of its own, so that a long package shows progress.
const slowTest = 5 * time.Second

func newTally(out io.Writer) *tally {
	return &tally{out: out, ended: map[string]int{}, broken: map[string]bool{}, output: map[string]*strings.Builder{}}
}

func (t *tally) good() bool { return t.failed == 0 && t.skipped == 0 && t.passed > 0 }

func (t *tally) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

func (t *tally) read(events io.Reader) error {
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		t.add(e)
	}
}

func (t *tally) add(e event) {
	switch {
	case e.Action == "build-output":
		fmt.Fprint(t.out, e.Output)
	case e.Action == "output":
		t.keep(e)
	case e.Test != "":
		t.endOfTest(e)
	default:
		t.endOfPackage(e)
	}
}

func (t *tally) keep(e event) {
	key := e.Package + " " + e.Test
	if t.output[key] == nil {
		t.output[key] = &strings.Builder{}
	}
	t.output[key].WriteString(e.Output)
}

func (t *tally) endOfTest(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "pass":
		t.passed++
		if !strings.Contains(e.Test, "/") && e.Elapsed >= slowTest.Seconds() {
			fmt.Fprintf(t.out, "     %s (%.1f s)\n", e.Test, e.Elapsed)
		}
	case "fail", "skip":
		if e.Action == "fail" {
			t.failed++
			t.broken[e.Package] = true
		} else {
			t.skipped++
		}
		if kept := t.output[key]; kept != nil {
			fmt.Fprint(t.out, kept.String())
		}
	default:
		return // run, pause, cont, bench
	}
	t.ended[e.Package]++
	delete(t.output, key)
}

func (t *tally) endOfPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok   %s (%d tests, %.1f s)\n", e.Package, t.ended[e.Package], e.Elapsed)
	case "fail":
		// A panic, a timeout or a build that failed has no test that failed.
		if !t.broken[e.Package] {
			t.failed++
		}
		for key, kept := range t.output {
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(t.out, kept.String())
			}
		}
		fmt.Fprintf(t.out, "FAIL %s (%.1f s)\n", e.Package, e.Elapsed)
	case "skip": // no test files
	default:
		return
	}
	for key := range t.output {
		if strings.HasPrefix(key, e.Package+" ") {
			delete(t.output, key)
		}
	}
}
