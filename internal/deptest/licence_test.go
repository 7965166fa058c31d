// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences are what a dependency may be under, and why: each lets us ship a program
// under Apache-2.0 that has it inside, with its notice.
var licences = []struct{ name, words string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD", "Redistribution and use in source and binary forms"},
}

// copyleft is what such a text must not say beside it.
var copyleft = regexp.MustCompile(`(?i)GNU (Affero |Lesser |Library )?General Public|Mozilla Public|European Union Public`)

// exceptions are modules that the words above do not fit, each read by a person.
var exceptions = map[string]string{
	"kernel.org/pub/linux/libs/security/libcap/cap": "BSD-3-Clause or GPL-2.0, as we choose: BSD",
	"kernel.org/pub/linux/libs/security/libcap/psx": "BSD-3-Clause or GPL-2.0, as we choose: BSD",
	"github.com/golang/freetype":                    "FTL or GPL-2.0, as we choose: FTL; draws the plots of the benchmark, not shipped",
	"github.com/ajstarks/svgo":                      "CC-BY-4.0; draws the plots of the benchmark, not shipped",
	"pgregory.net/rapid":                            "MPL-2.0; tests only, not shipped, not changed",
}

// notShipped are the modules in exceptions that must not be in the program.
var notShipped = []string{"github.com/golang/freetype", "github.com/ajstarks/svgo", "pgregory.net/rapid"}

func TestLicences(t *testing.T) {
	modules := map[string]string{}
	for _, folder := range moduleFolders(t) {
		maps.Copy(modules, modulesOf(t, folder, "-test", "./..."))
	}
	if len(modules) == 0 {
		t.Fatal("go list names no modules")
	}
	for path, dir := range modules {
		if exceptions[path] != "" {
			continue
		}
		if why := judge(licenceText(t, dir)); why != "" {
			t.Errorf("%s: %s\n\tread its licence in %s; replace the module, or add it to the exceptions with the reason", path, why, dir)
		}
	}
	for path := range exceptions {
		if modules[path] == "" {
			t.Errorf("%s is an exception, and no dependency any more: remove it", path)
		}
	}
	shipped := modulesOf(t, ".", "./cmd/...", "./pkg/api/...")
	for _, path := range notShipped {
		if shipped[path] != "" {
			t.Errorf("%s is shipped, which its licence is not checked for: %s", path, exceptions[path])
		}
	}
}

// judge says what is wrong with the licence of a module.
func judge(text string) string {
	known := slices.ContainsFunc(licences, func(l struct{ name, words string }) bool { return strings.Contains(text, l.words) })
	switch {
	case text == "":
		return "it has no licence"
	case copyleft.MatchString(text):
		return "its licence speaks of " + copyleft.FindString(text)
	case !known:
		return "its licence is none of those that are allowed"
	}
	return ""
}

func TestJudge(t *testing.T) {
	for text, why := range map[string]string{
		"":       "it has no licence",
		"Beer 1": "its licence is none of those that are allowed",
		"Permission is hereby granted, free of charge, to any person":                  "",
		"Redistribution and use in source and binary forms, or the GNU General Public": "its licence speaks of GNU General Public",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                                            "its licence speaks of GNU AFFERO GENERAL PUBLIC",
	} {
		if got := judge(text); got != why {
			t.Errorf("%q: %q, want %q", text, got, why)
		}
	}
}

// modulesOf returns the folders of the modules that packages of the module in a folder
// are built from, without our own.
func modulesOf(t *testing.T, folder string, args ...string) map[string]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}"}, args...)...)
	list.Dir = filepath.Join(root, folder)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !within(path, []string{module}) {
			modules[path] = dir
		}
	}
	return modules
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.\w+)?$`)

// licenceText is all that a module says of its licence, on one line.
func licenceText(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, strings.Fields(string(text))...)
	}
	return strings.Join(words, " ")
}
