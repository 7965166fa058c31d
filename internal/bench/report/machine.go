// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where and when figures were measured, and of what.
type Machine struct {
	Date      string  `json:"date"`      // RFC 3339
	Version   string  `json:"version"`   // of the agent and the benchmark
	Kernel    string  `json:"kernel"`    // release
	Processor string  `json:"processor"` // model and architecture
	CPUs      int     `json:"cpus"`
	Load      float64 `json:"load"` // of the last minute, before the run: what else was there
}

// ThisMachine is the machine now. What it does not tell is left empty.
func ThisMachine(version string) Machine {
	m := Machine{
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

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d × %s, Linux %s, load %.1f, version %s", m.Date, m.CPUs, m.Processor, m.Kernel, m.Load, m.Version)
}
