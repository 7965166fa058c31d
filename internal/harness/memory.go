// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory is the memory use of a daemon, in bytes.
type Memory struct {
	Resident uint64 // of the process
	Kernel   uint64 // of its maps, as the kernel accounts them
}

// Memory reads the memory use of the running daemon from /proc.
func (a *Agent) Memory() (m Memory, err error) {
	proc := fmt.Sprintf("/proc/%d", a.daemon.Process.Pid)
	status, err := fields(filepath.Join(proc, "status"))
	if err != nil {
		return m, err
	}
	const kB = 1024
	m.Resident = status["VmRSS"] * kB
	infos, err := filepath.Glob(filepath.Join(proc, "fdinfo", "*"))
	if err != nil {
		return m, err
	}
	maps := make(map[uint64]uint64) // several descriptors may be of one map
	for _, info := range infos {
		fd, err := fields(info)
		if os.IsNotExist(err) {
			continue // closed meanwhile
		}
		if err != nil {
			return m, err
		}
		if id, ok := fd["map_id"]; ok {
			maps[id] = fd["memlock"]
		}
	}
	for _, bytes := range maps {
		m.Kernel += bytes
	}
	return m, nil
}

// fields reads the numbers of a file of lines such as "VmRSS:  20480 kB".
func fields(file string) (map[string]uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := make(map[string]uint64)
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		if value, err := strconv.ParseUint(words[0], 10, 64); err == nil {
			found[name] = value
		}
	}
	return found, nil
}
