// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"
)

// maxKnot is how many files may refer to each other in a circle. A larger circle can only
// be read, and changed, as a whole.
const maxKnot = 6

// knots are the packages that still have a larger one: this table must only shrink.
var knots = map[string]struct {
	files  int
	reason string
}{}

// TestKnots holds that each package of the product can be read file by file.
func TestKnots(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range typedPackages(t) {
		arrows := p.arrows()
		knot := largestKnot(arrows)
		exception, excepted := knots[p.folder]
		seen[p.folder] = true
		switch allowed := max(maxKnot, exception.files); {
		case len(knot) > allowed:
			t.Errorf("%s: %d files refer to each other in a circle, allowed are %d:\n%s", p.folder, len(knot), allowed, drawn(knot, arrows))
		case excepted && len(knot) < exception.files:
			t.Errorf("%s: the largest knot has %d files: lower its exception of %d, or remove it at %d", p.folder, len(knot), exception.files, maxKnot)
		case excepted && exception.files <= maxKnot:
			t.Errorf("%s: an exception of %d files is none: remove it", p.folder, exception.files)
		}
	}
	for folder := range knots {
		if !seen[folder] {
			t.Errorf("%s has an exception, and does not exist: remove it", folder)
		}
	}
}

// references are the names that one file uses of another one.
type references map[string]map[string]map[string]bool // from, to, name

// arrows collects which files refer to package-level names and methods of which others.
// Fields are no arrows: a struct and the methods on it may be in several files.
func (p typed) arrows() references {
	arrows := references{}
	for _, f := range p.files {
		from := p.fileOf(f.Package)
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			object := p.info.Uses[id]
			if object == nil || object.Pkg() != p.pkg || !global(object) {
				return true
			}
			to := p.fileOf(object.Pos())
			if to == "" || to == from {
				return true
			}
			if arrows[from] == nil {
				arrows[from] = map[string]map[string]bool{}
			}
			if arrows[from][to] == nil {
				arrows[from][to] = map[string]bool{}
			}
			arrows[from][to][object.Name()] = true
			return true
		})
	}
	return arrows
}

// global reports whether an object is a method, or declared at the top level of a package.
func global(object types.Object) bool {
	_, function := object.(*types.Func)
	return function || object.Parent() == object.Pkg().Scope()
}

// largestKnot returns the largest strongly connected set of files, or nil where no file is
// in a circle.
func largestKnot(arrows references) []string {
	var knot []string
	for from := range arrows {
		reached := reach(arrows, from)
		if !reached[from] {
			continue
		}
		circle := []string{}
		for to := range reached {
			if reach(arrows, to)[from] {
				circle = append(circle, to)
			}
		}
		if len(circle) > len(knot) {
			knot = circle
		}
	}
	slices.Sort(knot)
	return knot
}

// reach returns the files that arrows lead to from one.
func reach(arrows references, from string) map[string]bool {
	reached := map[string]bool{}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		for to := range arrows[next[0]] {
			if !reached[to] {
				reached[to] = true
				next = append(next, to)
			}
		}
	}
	return reached
}

// drawn lists the arrows within a knot, with the names that make them.
func drawn(knot []string, arrows references) string {
	var text strings.Builder
	for _, from := range knot {
		for _, to := range knot {
			if names := slices.Sorted(maps.Keys(arrows[from][to])); len(names) > 0 {
				fmt.Fprintf(&text, "\t%s -> %s: %s\n", from, to, strings.Join(names, " "))
			}
		}
	}
	return text.String()
}

func TestLargestKnot(t *testing.T) {
	arrows := references{
		"a": {"b": {"B": true}}, "b": {"c": {"C": true}}, "c": {"b": {"B": true}, "d": {"D": true}},
		"d": {"e": {"E": true}}, "e": {"d": {"D": true}, "f": {"F": true}}, "f": {"d": {"D": true, "G": true}},
	}
	knot := largestKnot(arrows)
	if got := strings.Join(knot, " "); got != "d e f" {
		t.Errorf("largest knot %q, want d e f", got)
	}
	const want = "\td -> e: E\n\te -> d: D\n\te -> f: F\n\tf -> d: D G\n"
	if got := drawn(knot, arrows); got != want {
		t.Errorf("drawn as\n%s, want\n%s", got, want)
	}
}
