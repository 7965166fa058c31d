// SPDX-License-Identifier: Apache-2.0

package callpath

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// A path is the functions that one goroutine entered, in their order.
type callPath struct {
	goroutine int
	calls     []function
}

// figures describe a path.
type figures struct {
	calls, functions, files int
	// crossings are entries into another file than the previous call's, the first one
	// included; returns are those into a file that was left before.
	crossings, returns int
	packages           int // entries into another package
	reads, writes      int // transactions of the store
}

// read reads a recording: the longest path first.
func read(recording io.Reader, functions []function) ([]callPath, error) {
	byGoroutine := map[int]*callPath{}
	lines := bufio.NewScanner(recording)
	for lines.Scan() {
		var goroutine, index int
		if _, err := fmt.Sscan(lines.Text(), &goroutine, &index); err != nil {
			return nil, fmt.Errorf("line %q of the recording: %w", lines.Text(), err)
		}
		if index < 0 || index >= len(functions) {
			return nil, fmt.Errorf("line %q of the recording: want a function from 0 to %d", lines.Text(), len(functions)-1)
		}
		if byGoroutine[goroutine] == nil {
			byGoroutine[goroutine] = &callPath{goroutine: goroutine}
		}
		p := byGoroutine[goroutine]
		p.calls = append(p.calls, functions[index])
	}
	var paths []callPath
	for _, p := range byGoroutine {
		paths = append(paths, *p)
	}
	slices.SortFunc(paths, func(a, b callPath) int {
		return cmp.Or(len(b.calls)-len(a.calls), a.goroutine-b.goroutine)
	})
	return paths, lines.Err()
}

func (p callPath) figures() (f figures) {
	functions, files := map[function]bool{}, map[string]bool{}
	last := ""
	for _, c := range p.calls {
		f.calls++
		if functions[c] = true; c.file != last {
			f.crossings++
		}
		if path.Dir(c.file) != path.Dir(last) {
			f.packages++
		}
		if c.file != last && files[c.file] {
			f.returns++
		}
		if strings.HasPrefix(c.file, "pkg/sessions/sqlite/") {
			switch c.name {
			case "(*Store).View":
				f.reads++
			case "(*Store).Commit": // also below Update
				f.writes++
			}
		}
		files[c.file], last = true, c.file
	}
	f.functions, f.files = len(functions), len(files)
	return f
}

// String lists the calls in their order, a line for each run of calls within one file.
func (p callPath) String() string {
	var text strings.Builder
	last := ""
	for _, c := range p.calls {
		if c.file != last {
			text.WriteString("\n" + c.file + ":")
		}
		text.WriteString(" " + c.name)
		last = c.file
	}
	return text.String()
}
