// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the example and docs/CONFIGURATION.md")

// The example and the documentation are what the table of keys makes of them.
func TestGenerated(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	for path, want := range map[string]string{
		filepath.Join(root, "cmd", "hotspot-agent", "config.example.yaml"): example(),
		filepath.Join(root, "docs", "CONFIGURATION.md"):                    documentation(t),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what `make docs` makes (-generated +committed):\n%s", path, diff)
		}
	}
}

// Each value that the documentation calls wrong is refused, with its line and key.
func TestWrongIsRefused(t *testing.T) {
	for _, k := range flatten(Keys(), "") {
		if k.key.Wrong == "" {
			continue
		}
		if message := refusal(t, k); !strings.HasPrefix(message, "config.yaml:1: "+k.path) {
			t.Errorf("%s: %s: %s", k.path, k.key.Wrong, message)
		}
	}
}

// pathKey is a key with its sections: "log.level".
type pathKey struct {
	path string
	key  Key
}

// flatten lists sections before their keys.
func flatten(keys []Key, prefix string) (all []pathKey) {
	for _, k := range keys {
		all = append(all, pathKey{prefix + k.Name, k})
		all = append(all, flatten(k.Keys, prefix+k.Name+".")...)
	}
	return all
}

// refusal is the error of the wrong value of a key.
func refusal(t *testing.T, k pathKey) string {
	t.Helper()
	text := k.path + ": " + k.key.Wrong
	if section, name, ok := strings.Cut(k.path, "."); ok {
		text = fmt.Sprintf("%s: {%s: %s}", section, name, k.key.Wrong)
	}
	_, err := parse("config.yaml", []byte(text), Default())
	if err == nil {
		t.Fatalf("%s is accepted", text)
	}
	return err.Error()
}

const exampleHead = `# hotspot-agent: configuration, with every key at its default.
# Generated from cmd/hotspot-agent/internal/config/table.go by "make docs".
# Goes to /etc/hotspot-agent/config.yaml. A key left out has its default; an
# unknown key is an error. The agent reads the file at its start only: restart
# it after a change, connected customers stay connected.
`

func example() string {
	var text strings.Builder
	text.WriteString(exampleHead)
	for _, k := range Keys() {
		text.WriteString("\n")
		comment(&text, k.Meaning)
		for _, v := range k.Values {
			comment(&text, fmt.Sprintf("  %s: %s", v.Name, v.Meaning))
		}
		if k.Accepts != "" && len(k.Values) == 0 {
			comment(&text, "Accepted: "+k.Accepts+".")
		}
		for _, sub := range k.Keys {
			comment(&text, fmt.Sprintf("  %s: %s%s", sub.Name, sub.Meaning, accepted(sub)))
		}
		fmt.Fprintf(&text, "%s: %s\n", k.Name, k.show(Default()))
	}
	return text.String()
}

// accepted is what a key of a section accepts, as a sentence.
func accepted(k Key) string {
	if len(k.Values) == 0 {
		return " Accepted: " + k.Accepts + "."
	}
	var parts []string
	for _, v := range k.Values {
		parts = append(parts, v.Name+" ("+v.Meaning+")")
	}
	return " " + strings.Join(parts, " or ") + "."
}

// comment writes text as comment lines of at most 88 columns. A list item is indented.
func comment(w *strings.Builder, text string) {
	indent, width := "# ", 0
	body := strings.TrimLeft(text, " ")
	if body != text {
		indent = "#   "
	}
	for i, word := range strings.Fields(strings.ReplaceAll(body, "`", "")) {
		switch {
		case i == 0:
			w.WriteString(indent)
			width = len(indent)
		case width+1+len(word) > 88:
			if body != text {
				indent = "#     "
			}
			w.WriteString("\n" + indent)
			width = len(indent)
		default:
			w.WriteString(" ")
			width++
		}
		w.WriteString(word)
		width += len(word)
	}
	w.WriteString("\n")
}

const documentationHead = `# Configuration

<!-- Generated from cmd/hotspot-agent/internal/config/table.go by "make docs"; do not edit. -->

The daemon reads one YAML file at its start, by default ` + "`/etc/hotspot-agent/config.yaml`" + `
([example](../cmd/hotspot-agent/config.example.yaml)). A key that is left out has its default. After a change restart the
agent: connected customers stay connected, and nothing is uncounted.

A key that is unknown, or a value that is not accepted, ends the start with exit status 1. The error is one line with
file, line, key and value, as shown below; ` + "`hotspot-agent doctor`" + ` checks a file without a start. A daemon that runs is
not affected by its file.

`

func documentation(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	text.WriteString(documentationHead)
	text.WriteString("| key | value | default | accepted |\n|---|---|---|---|\n")
	all := flatten(Keys(), "")
	for _, k := range all {
		if k.key.Kind != "section" {
			fmt.Fprintf(&text, "| [`%s`](#%s) | %s | `%s` | %s |\n", k.path, anchor(k.path), k.key.Kind, k.key.show(Default()), escape(names(k.key)))
		}
	}
	for _, k := range all {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", k.path, k.key.Meaning)
		if len(k.key.Values) > 0 {
			text.WriteString("\n")
		}
		for _, v := range k.key.Values {
			fmt.Fprintf(&text, "- `%s`: %s.\n", v.Name, v.Meaning)
		}
		if k.key.Kind == "section" {
			continue
		}
		fmt.Fprintf(&text, "\nA %s; accepted: %s. Default: `%s`.\n", k.key.Kind, names(k.key), k.key.show(Default()))
		if k.key.Wrong != "" {
			fmt.Fprintf(&text, "\n```\n%s\n```\n", refusal(t, k))
		}
	}
	return text.String()
}

// names is what a key accepts; the names of its values, when it has some.
func names(k Key) string {
	if len(k.Values) == 0 {
		return k.Accepts
	}
	var names []string
	for _, v := range k.Values {
		names = append(names, "`"+v.Name+"`")
	}
	return strings.Join(names, ", ")
}

// anchor is GitHub's for a heading.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
