// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDependenciesAreJustified: docs/ARCHITECTURE.md names each module that one of our
// go.mod files requires directly, with its reason, and no other.
func TestDependenciesAreJustified(t *testing.T) {
	var required []string
	for _, folder := range moduleFolders(t) {
		required = append(required, directRequires(t, folder)...)
	}
	slices.Sort(required)
	required = slices.Compact(required)
	named := inTable(t)
	slices.Sort(named)
	if diff := cmp.Diff(required, named); diff != "" {
		t.Errorf("the go.mod files (-) and the table of dependencies in docs/ARCHITECTURE.md (+) differ:\n%s", diff)
	}
}

func directRequires(t *testing.T, folder string) (modules []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(?:\t|require )(\S+) v\S+$`) // without "// indirect"
	for _, match := range line.FindAllStringSubmatch(readFile(t, filepath.Join(folder, "go.mod")), -1) {
		if !within(match[1], []string{module}) {
			modules = append(modules, strings.TrimPrefix(match[1], "github.com/"))
		}
	}
	return modules
}

func inTable(t *testing.T) (modules []string) {
	t.Helper()
	_, section, ok := strings.Cut(readFile(t, "docs/ARCHITECTURE.md"), "\n## Dependencies, and why each\n")
	if !ok {
		t.Fatal("docs/ARCHITECTURE.md has no section of dependencies")
	}
	row := regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \|$`)
	for _, match := range row.FindAllStringSubmatch(section, -1) {
		if match[1] != "module" {
			modules = append(modules, strings.Split(match[1], ", ")...)
		}
	}
	return modules
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
