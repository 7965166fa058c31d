// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	docsRoot        = "../.."
	readmeWords     = 900
	snippetTemplate = `package snippet

import (
	"context"
	"net/http"

	"` + module + `/pkg/api"
)

func snippet(ctx context.Context, r *http.Request, provider api.SessionProvider) error {
BODY
	_, _ = ok, s
	return err
}
`
)

// pages are the documents, by their path from the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(filepath.Join(docsRoot, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			rel, err := filepath.Rel(docsRoot, name)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.ToSlash(rel)] = readFile(t, rel)
		}
	}
	if len(all) < 8 {
		t.Fatalf("only %d documents found", len(all))
	}
	return all
}

func TestReadmeIsShort(t *testing.T) {
	if n := len(strings.Fields(readFile(t, "README.md"))); n > readmeWords {
		t.Errorf("README.md has %d words, want at most %d", n, readmeWords)
	}
}

var (
	// codeSpan is text in backticks on one line.
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	// repositoryPath is a path below one of the top-level folders, with or without ./
	repositoryPath = regexp.MustCompile(`(?:^|[\s'(])(?:\./)?((?:\.ci|bench|bpf|clients|cmd|dist|docs|examples|hack|internal|pkg|torture)/[\w.*/-]*)`)
)

// TestDocsNameExistingPaths: a path in backticks or in a block of shell exists.
func TestDocsNameExistingPaths(t *testing.T) {
	for page, text := range pages(t) {
		for _, code := range append(spans(text), blocks(text, "sh")...) {
			for _, match := range repositoryPath.FindAllStringSubmatch(code, -1) {
				checkPath(t, page, strings.TrimSuffix(match[1], "/..."))
			}
		}
	}
}

func checkPath(t *testing.T, page, path string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(docsRoot, filepath.FromSlash(path)))
	if err != nil || len(found) == 0 {
		t.Errorf("%s names %s, which does not exist", page, path)
	}
}

// spans are the texts in backticks outside blocks.
func spans(text string) (all []string) {
	outside := fence.ReplaceAllString(text, "")
	for _, match := range codeSpan.FindAllStringSubmatch(outside, -1) {
		all = append(all, match[1])
	}
	return all
}

var fence = regexp.MustCompile("(?ms)^ *```(\\w*)\n(.*?)^ *```$")

// blocks are the fenced blocks, of a language or all.
func blocks(text string, language ...string) (all []string) {
	for _, match := range fence.FindAllStringSubmatch(text, -1) {
		if len(language) == 0 || slices.Contains(language, match[1]) {
			all = append(all, match[2])
		}
	}
	return all
}

// TestLayoutIsTheTree: each folder in the picture of the layout exists.
func TestLayoutIsTheTree(t *testing.T) {
	_, section, ok := strings.Cut(readFile(t, "docs/ARCHITECTURE.md"), "\n## Layout\n")
	if !ok {
		t.Fatal("docs/ARCHITECTURE.md has no section Layout")
	}
	var parents []string // by depth
	for line := range strings.Lines(blocks(section)[0]) {
		name := strings.TrimLeft(line, " ")
		depth := (len(line) - len(name)) / 2
		names, _, _ := strings.Cut(name, "  ")
		above := strings.Join(parents[:min(depth, len(parents))], "/")
		for name := range strings.SplitSeq(strings.TrimSpace(names), ", ") {
			checkPath(t, "docs/ARCHITECTURE.md", filepath.Join(above, name))
		}
		parents = append(parents[:min(depth, len(parents))], strings.TrimSpace(names))
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestDocsLinksResolve: relative links lead to a file, and to a heading of it.
func TestDocsLinksResolve(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, match := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if !strings.Contains(match[1], "://") {
				checkLink(t, all, page, match[1])
			}
		}
	}
}

func checkLink(t *testing.T, all map[string]string, page, target string) {
	t.Helper()
	path, anchor, _ := strings.Cut(target, "#")
	if path != "" {
		path = filepath.ToSlash(filepath.Join(filepath.Dir(page), path))
	} else {
		path = page
	}
	if _, err := os.Stat(filepath.Join(docsRoot, path)); err != nil {
		t.Errorf("%s links to %s, which does not exist", page, target)
		return
	}
	if anchor != "" && !slices.Contains(anchors(all[path]), anchor) {
		t.Errorf("%s links to %s: %s has no such heading", page, target, path)
	}
}

// anchors are the headings of a page as GitHub names them.
func anchors(text string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

var (
	goTest     = regexp.MustCompile("go test ((?:\\./\\S+ )+)-run (?:'([^']+)'|(\\S+?))(?:[` ]|$)(?:.*?-fuzz (\\w+))?")
	makeTarget = regexp.MustCompile(`(?m)^([a-z-]+):`)
	makeCall   = regexp.MustCompile(`(?:^|\n|&& )make ([a-z][a-z-]*)`)
)

// TestDocsNameExistingTests: of each `go test PACKAGES -run PATTERN` the packages
// exist, and each alternative of the pattern is a test of one of them.
func TestDocsNameExistingTests(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		for _, match := range goTest.FindAllStringSubmatch(text, -1) {
			found++
			pattern := match[2] + match[3]
			if pattern == "^$" {
				pattern = match[4] // the name after -fuzz
			}
			checkTests(t, page, strings.Fields(match[1]), strings.ReplaceAll(pattern, `\|`, "|"))
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found", found)
	}
}

func checkTests(t *testing.T, page string, folders []string, pattern string) {
	t.Helper()
	var names []string
	for _, folder := range folders {
		own := testsOf(t, folder)
		if len(own) == 0 {
			t.Errorf("%s runs the tests of %s, which has none", page, folder)
		}
		names = append(names, own...)
	}
	for alternative := range strings.SplitSeq(pattern, "|") {
		matches := regexp.MustCompile(alternative).MatchString
		if !slices.ContainsFunc(names, matches) {
			t.Errorf("%s runs -run %s in %s: no test there has such a name", page, alternative, folders)
		}
	}
}

// testsOf are the names of a package's tests and fuzz targets; with /... of all below it.
func testsOf(t *testing.T, folder string) (names []string) {
	t.Helper()
	folder, all := strings.CutSuffix(folder, "/...")
	top := filepath.Join(docsRoot, folder)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != top && !all:
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		names = append(names, source{syntax: file}.declares()...)
		return nil
	})
	if err != nil {
		t.Errorf("%v", err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz")
	})
}

// TestDocsNameExistingTargets: what the documents call with make is in the Makefile.
func TestDocsNameExistingTargets(t *testing.T) {
	var targets []string
	for _, match := range makeTarget.FindAllStringSubmatch(readFile(t, "Makefile"), -1) {
		targets = append(targets, match[1])
	}
	for page, text := range pages(t) {
		for _, code := range append(spans(text), blocks(text)...) {
			for _, match := range makeCall.FindAllStringSubmatch(code, -1) {
				if !slices.Contains(targets, match[1]) {
					t.Errorf("%s calls make %s, which is no target of the Makefile", page, match[1])
				}
			}
		}
	}
}

var onlyCall = regexp.MustCompile(`make (bench|torture|clients) [A-Z0-9= ]*ONLY=([a-z,]+)`)

// TestDocsNameExistingStudies: ONLY= names studies of the benchmark and of clients, and faults.
func TestDocsNameExistingStudies(t *testing.T) {
	lists := map[string]string{
		"bench":   readFile(t, filepath.Join("bench", "main.go")),
		"torture": readFile(t, filepath.Join("torture", "faults.go")),
		"clients": readFile(t, filepath.Join("clients", "studies.go")),
	}
	for page, text := range pages(t) {
		for _, match := range onlyCall.FindAllStringSubmatch(text, -1) {
			for name := range strings.SplitSeq(match[2], ",") {
				if !strings.Contains(lists[match[1]], `{"`+name+`",`) && !strings.Contains(lists[match[1]], `{name: "`+name+`",`) {
					t.Errorf("%s calls make %s ONLY=%s, which is none", page, match[1], name)
				}
			}
		}
	}
}

// TestReadmeSnippetCompiles type-checks the Go of README.md.
func TestReadmeSnippetCompiles(t *testing.T) {
	code := blocks(readFile(t, "README.md"), "go")
	if len(code) != 1 {
		t.Fatalf("README.md has %d blocks of Go, want 1", len(code))
	}
	file := filepath.Join(t.TempDir(), "snippet.go")
	if err := os.WriteFile(file, []byte(strings.Replace(snippetTemplate, "BODY", code[0], 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file)
	build.Dir = docsRoot
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("the Go in README.md does not compile: %v\n%s", err, out)
	}
}
