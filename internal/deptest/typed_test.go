// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

// typed is a type-checked package of the product, without its tests.
type typed struct {
	folder    string
	files     []*ast.File // without generated ones
	positions *token.FileSet
	pkg       *types.Package
	info      *types.Info
}

// fileOf is the name of the file that a position is in, or "" in a generated one.
func (p typed) fileOf(pos token.Pos) string {
	for _, f := range p.files {
		if f.FileStart <= pos && pos < f.FileEnd {
			return filepath.Base(p.positions.Position(pos).Filename)
		}
	}
	return ""
}

// listed is what go list prints of a package.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles, CgoFiles       []string
	Module                  *struct{ Main bool }
}

var product = sync.OnceValues(func() ([]typed, error) {
	packages, err := list("./pkg/...", "./cmd/...")
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	positions := token.NewFileSet()
	imports := importer.ForCompiler(positions, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var all []typed
	for _, p := range packages {
		folder := strings.TrimPrefix(p.ImportPath, module+"/")
		if p.Module == nil || !p.Module.Main || !within(folder, []string{"pkg", "cmd"}) {
			continue
		}
		checked, err := p.check(folder, positions, imports)
		if err != nil {
			return nil, err
		}
		all = append(all, checked)
	}
	if len(all) == 0 {
		return nil, errors.New("go list names no packages of the product")
	}
	return all, nil
})

// typedPackages type-checks the product once for all tests: its own packages from
// source, what they import from the compiler's export data.
func typedPackages(t *testing.T) []typed {
	t.Helper()
	all, err := product()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func list(patterns ...string) (packages []listed, err error) {
	args := []string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,CgoFiles,Module"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" { // these packages are compiled already
				args = append(args, "-race")
			}
		}
	}
	cmd := exec.Command("go", append(args, patterns...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		err = errors.New("go list: " + string(failed.Stderr))
	}
	if err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

func (p listed) check(folder string, positions *token.FileSet, imports types.Importer) (checked typed, err error) {
	checked = typed{folder: folder, positions: positions, info: &types.Info{Uses: map[*ast.Ident]types.Object{}}}
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(positions, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return checked, err
		}
		if files = append(files, f); !ast.IsGenerated(f) {
			checked.files = append(checked.files, f)
		}
	}
	config := types.Config{Importer: imports}
	checked.pkg, err = config.Check(p.ImportPath, positions, files, checked.info)
	return checked, err
}
