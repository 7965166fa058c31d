// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/hotspot-agent/hotspot-agent"
	root   = "../.."
)

// source is one Go file of the product.
type source struct {
	path    string   // from the module's root
	folder  string   // of it: the package, as the rules name it
	imports []string // those of this module as folders, others as they are
	syntax  *ast.File
}

// sources parses every Go file of the repository but tests and test data, in all of
// its modules. It needs no go command and builds nothing.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(path string) error {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		s, err := parse(path)
		all = append(all, s)
		return err
	})
	return all
}

// walk visits every file of the repository but test data and what Git ignores.
func walk(t *testing.T, visit func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || path == filepath.Join(root, "bin")):
			return filepath.SkipDir
		case e.IsDir():
			return nil
		}
		return visit(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// moduleFolders returns the folders that have a go.mod, from the repository's root.
func moduleFolders(t *testing.T) []string {
	t.Helper()
	var folders []string
	walk(t, func(path string) error {
		if filepath.Base(path) != "go.mod" {
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		folders = append(folders, folder)
		return err
	})
	for _, want := range []string{".", "bench", "clients", "torture"} {
		if !slices.Contains(folders, want) {
			t.Fatalf("modules in %q, and none in %s", folders, want)
		}
	}
	return folders
}

func parse(path string) (source, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return source{}, err
	}
	s := source{path: filepath.ToSlash(rel), folder: filepath.ToSlash(filepath.Dir(rel)), syntax: file}
	for _, i := range file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, strings.TrimPrefix(name, module+"/"))
	}
	return s, nil
}

// uses returns the exported names that the file takes from the package it knows
// by that name.
func (s source) uses(pkg string) []string {
	var names []string
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg && sel.Sel.IsExported() {
				names = append(names, sel.Sel.Name)
			}
		}
		return true
	})
	return names
}

// declares returns the names that the file declares at its top level.
func (s source) declares() []string {
	var names []string
	for _, d := range s.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, specNames(spec)...)
			}
		}
	}
	return names
}

func specNames(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// within reports whether a path is one of those, or below one of them.
func within(path string, those []string) bool {
	for _, p := range those {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}
