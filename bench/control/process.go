// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is the daemon as /proc shows it.
type process int

// cpu is how long all its threads have run, by schedstat: in nanoseconds, where stat
// counts ticks of 10 ms.
func (p process) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("process %d has no threads: %w", p, err)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // the thread ended
		}
		if err != nil {
			return 0, err
		}
		ran, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += time.Duration(ran)
	}
	return sum, nil
}

// rss is its memory in bytes.
func (p process) rss() (float64, error) {
	kilobytes, err := p.field("status", "VmRSS:")
	return kilobytes * 1024, err
}

// written is how many bytes it had written to the disk.
func (p process) written() (float64, error) { return p.field("io", "write_bytes:") }

func (p process) field(file, name string) (float64, error) {
	path := fmt.Sprintf("/proc/%d/%s", p, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) >= 2 && fields[0] == name {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// run starts a program and waits for its end. On Linux it starts in the network
// namespace of the calling thread.
func run(ctx context.Context, words []string) error {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
