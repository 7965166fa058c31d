// SPDX-License-Identifier: Apache-2.0

// Command testsummary runs `go test` one or several times and sums up the results: a
// line per package, the output of failed tests, and the counts at the end. A skipped
// test fails the run, as it proves nothing.
//
//	testsummary -- -race ./pkg/... -- -C torture -p=1 ./...
//
// Each "--" starts the arguments of one go test.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

func main() {
	started := time.Now()
	sum := newSummary(os.Stdout)
	finished := true
	for _, args := range phases(os.Args[1:]) {
		finished = run(sum, args) && finished
	}
	fmt.Printf("\n%s, %d s\n", sum.counts(), int(time.Since(started).Seconds()))
	if !finished || !sum.good() {
		os.Exit(1)
	}
}

// phases cuts the arguments at each "--".
func phases(args []string) [][]string {
	var all [][]string
	for _, arg := range args {
		if arg == "--" {
			all = append(all, nil)
			continue
		}
		if len(all) == 0 {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], arg)
	}
	return all
}

// goTest is the command of one phase. The go command wants -C before all other flags.
func goTest(args []string) []string {
	command := []string{"test"}
	if len(args) > 1 && args[0] == "-C" {
		command, args = append(command, args[:2]...), args[2:]
	}
	return append(append(command, "-json"), args...)
}

// run reports whether go test exited with status 0; the summary has the failed tests.
func run(sum *summary, args []string) bool {
	cmd := exec.Command("go", goTest(args)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsummary: start go test:", err)
		return false
	}
	if err := sum.read(out); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary: read the events of go test:", err)
		_, _ = io.Copy(io.Discard, out) // so that go test can end
		_ = cmd.Wait()
		return false
	}
	return cmd.Wait() == nil
}
