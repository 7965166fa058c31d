// SPDX-License-Identifier: Apache-2.0

// Package tracer is compiled into an instrumented agent, as a package of its module: each
// of the agent's functions calls Enter first. SIGUSR1 starts a recording, SIGUSR2 ends it
// and writes it to the file that CALLPATH_TRACE names.
package tracer

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// A call is the entry of a goroutine into a function.
type call struct {
	goroutine string
	function  int
}

var (
	recording atomic.Bool
	mu        sync.Mutex
	calls     []call
)

func init() {
	file := os.Getenv("CALLPATH_TRACE")
	if file == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			recording.Store(s == syscall.SIGUSR1)
			if err := write(file); err != nil {
				fmt.Fprintln(os.Stderr, "tracer:", err)
			}
		}
	}()
}

// Enter records a call. It may be called from any goroutine.
func Enter(function int) {
	if !recording.Load() {
		return
	}
	var stack [64]byte // "goroutine 12 [running]:"
	fields := bytes.Fields(stack[:runtime.Stack(stack[:], false)])
	mu.Lock()
	defer mu.Unlock()
	calls = append(calls, call{string(fields[1]), function})
}

// write moves the recording, which is empty at its start, to the file.
func write(file string) error {
	mu.Lock()
	defer mu.Unlock()
	var text bytes.Buffer
	for _, c := range calls {
		fmt.Fprintln(&text, c.goroutine, c.function)
	}
	calls = nil
	if err := os.WriteFile(file+".part", text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}
