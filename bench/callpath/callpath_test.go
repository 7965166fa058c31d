// SPDX-License-Identifier: Apache-2.0

package callpath

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInstrument(t *testing.T) {
	const text = `package p

import "fmt"

func (t *T[K]) A() {
	f := func() { fmt.Println() }
	f()
}

func b() {}
func c()
`
	const want = `package p; import callpathtracer "github.com/hotspot-agent/hotspot-agent/internal/callpathtracer"

import "fmt"

func (t *T[K]) A() {callpathtracer.Enter(1);
	f := func() {callpathtracer.Enter(2); fmt.Println() }
	f()
}

func b() {callpathtracer.Enter(3);}
func c()
`
	got, functions, err := instrument("p.go", []byte(text), []function{{"o.go", "o"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	names := []function{{"o.go", "o"}, {"p.go", "(*T).A"}, {"p.go", "(*T).A*"}, {"p.go", "b"}}
	if diff := cmp.Diff(names, functions, cmp.AllowUnexported(function{})); diff != "" {
		t.Error(diff)
	}
}

func TestFigures(t *testing.T) {
	functions := []function{
		{"pkg/a/one.go", "A"}, {"pkg/a/two.go", "B"}, {"pkg/sessions/sqlite/store.go", "(*Store).View"}, {"pkg/sessions/sqlite/store.go", "(*Store).Commit"},
	}
	paths, err := read(strings.NewReader("7 1\n3 0\n3 1\n3 1\n3 2\n3 0\n3 3\n"), functions)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) != 2 || paths[0].goroutine != 3 || paths[1].goroutine != 7 {
		t.Fatalf("paths %v", paths)
	}
	want := figures{calls: 6, functions: 4, files: 3, crossings: 5, returns: 2, packages: 4, reads: 1, writes: 1}
	if got := paths[0].figures(); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
}

func TestReadRefusesOtherText(t *testing.T) {
	for _, text := range []string{"x", "1", "1 -1", "1 2"} {
		if _, err := read(strings.NewReader(text), make([]function, 2)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
