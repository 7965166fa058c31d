// SPDX-License-Identifier: Apache-2.0

// Command tally runs `go test` one or several times and adds up what happened: a
// line per package, the output of what failed, and the counts at the end. A
// skipped test fails the run, as it proves nothing.
//
//	tally -- -race ./pkg/... -- -p=1 ./internal/acceptance
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
	sum := newTally(os.Stdout)
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

// run says whether go test ended well; the tally knows which tests did not.
func run(sum *tally, args []string) bool {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally: start go test:", err)
		return false
	}
	if err := sum.read(out); err != nil {
		fmt.Fprintln(os.Stderr, "tally: read the events of go test:", err)
		_, _ = io.Copy(io.Discard, out) // so that go test can end
		_ = cmd.Wait()
		return false
	}
	return cmd.Wait() == nil
}
