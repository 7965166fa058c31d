// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// deferredCPU is the CPU time that the kernel's threads for network work have used:
// what a sender causes beyond its own time.
func deferredCPU() (time.Duration, error) {
	files, err := deferredThreads()
	if err != nil {
		return 0, err
	}
	var all time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		var ran int64
		if _, err := fmt.Sscan(string(text), &ran); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		all += time.Duration(ran)
	}
	return all, nil
}

// deferredThreads is the schedstat files of ksoftirqd, one thread a CPU.
var deferredThreads = sync.OnceValues(func() (files []string, err error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "ksoftirqd/") {
			files = append(files, filepath.Join(filepath.Dir(name), "schedstat"))
		}
	}
	if len(files) == 0 {
		err = fmt.Errorf("no ksoftirqd among %d processes", len(names))
	}
	return files, err
})
