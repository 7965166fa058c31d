// SPDX-License-Identifier: Apache-2.0

// Package machine describes the machine on which figures are measured.
package machine

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Info is where and when figures were measured, and of what version.
type Info struct {
	Date      string  `json:"date"`      // RFC 3339
	Version   string  `json:"version"`   // of the agent and the benchmark
	Kernel    string  `json:"kernel"`    // release
	Processor string  `json:"processor"` // model and architecture
	CPUs      int     `json:"cpus"`
	Load      float64 `json:"load"` // of the last minute, before the run: other programs
}

// Read describes this machine now. What cannot be read is left empty.
func Read(version string) Info {
	m := Info{
		Version:   version,
		Date:      time.Now().UTC().Format(time.RFC3339),
		Processor: strings.TrimSpace(processor() + " " + runtime.GOARCH),
		CPUs:      runtime.NumCPU(),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &m.Load)
	}
	return m
}

func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m Info) String() string {
	return fmt.Sprintf("%s, %d × %s, Linux %s, load %.1f, version %s", m.Date, m.CPUs, m.Processor, m.Kernel, m.Load, m.Version)
}
