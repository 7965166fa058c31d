// SPDX-License-Identifier: Apache-2.0

package callpath

import (
	"bytes"
	"context"
	_ "embed" // the tracer
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// tracerPath is the package that the tracer becomes in the agent's module.
const tracerPath = "internal/callpathtracer"

//go:embed tracer/tracer.go
var tracerSource []byte

// function is a function of the agent. Function literals have the name of the function
// that they are in, with an asterisk.
type function struct {
	file string // from the module's root
	name string
}

// build compiles an agent, from the sources below root, that records its calls. The
// functions are those that the recording has the indices of.
func build(ctx context.Context, root, dir string) (binary string, functions []function, err error) {
	replace := map[string]string{}
	add := func(name string, text []byte) error {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		replace[filepath.Join(root, name)] = file
		return os.WriteFile(file, text, 0o600)
	}
	for _, top := range []string{"pkg", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			text, functions, err = instrument(filepath.ToSlash(name), text, functions)
			return errors.Join(err, add(name, text))
		})
		if err != nil {
			return "", nil, err
		}
	}
	if err := add(path.Join(tracerPath, "tracer.go"), tracerSource); err != nil {
		return "", nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", nil, err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "hotspot-agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", overlayFile, "-o", binary, "./cmd/hotspot-agent")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build the instrumented agent: %w\n%s", err, out)
	}
	return binary, functions, nil
}

// instrument inserts a call of the tracer at the start of each function of a file, and
// appends these functions. Lines keep their numbers.
func instrument(name string, text []byte, functions []function) ([]byte, []function, error) {
	files := token.NewFileSet()
	syntax, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	before := len(functions)
	inserts := map[int]string{} // by offset
	enclosing := ""
	ast.Inspect(syntax, func(n ast.Node) bool {
		var body *ast.BlockStmt
		suffix := ""
		switch f := n.(type) {
		case *ast.FuncDecl:
			enclosing, body = nameOf(f), f.Body
		case *ast.FuncLit:
			suffix, body = "*", f.Body
		}
		if body != nil {
			inserts[files.Position(body.Lbrace).Offset+1] = fmt.Sprintf("callpathtracer.Enter(%d);", len(functions))
			functions = append(functions, function{name, enclosing + suffix})
		}
		return true
	})
	if len(functions) > before {
		inserts[files.Position(syntax.Name.End()).Offset] = fmt.Sprintf(`; import callpathtracer "%s/%s"`, module, tracerPath)
	}
	var out bytes.Buffer
	for i := range text {
		out.WriteString(inserts[i])
		out.WriteByte(text[i])
	}
	return out.Bytes(), functions, nil
}

// nameOf is the name of a function as in "(*Manager).Connect".
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	star, receiver := "", f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		star, receiver = "*", pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return fmt.Sprintf("(%s%s).%s", star, name.Name, f.Name.Name)
	}
	return f.Name.Name
}
