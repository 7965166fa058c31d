// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/args"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
)

// sorted is what was parsed, in the order of the strictest of parsers.
func sorted(p *args.Parsed) []string {
	out := append([]string{}, p.Globals...)
	if p.Command != nil {
		out = append(out, strings.Fields(p.Command.HelpName)...)
	}
	out = append(out, p.Flags...)
	if p.Help {
		out = append(out, "--help")
	}
	if len(p.Words) > 0 {
		out = append(append(out, "--"), p.Words...)
	}
	return out
}

func TestParseArgs(t *testing.T) {
	root := tree(command.Env{Getenv: noEnv})
	for in, want := range map[string]string{
		"":                                      "",
		"status":                                "status",
		"status --json":                         "--json status",
		"status 5 --json --socket /s":           "--json --socket /s status -- 5",
		"--socket=/s status":                    "--socket=/s status",
		"connect 5 --notify hello":              "connect --notify hello -- 5",
		"connect --notify -x 5":                 "connect --notify -x -- 5",
		"connect --notify=a 5":                  "connect --notify=a -- 5",
		"device update 5 --mac m --json --ip i": "--json device update --mac m --ip i -- 5",
		"session --json list":                   "--json session list",
		"session create --device 5 --global-speed --type data --data 5MB": "session create --device 5 --global-speed --type data --data 5MB",
		"session update 5 --down -1":                                      "session update --down -1 -- 5",
		"connect -- -5":                                                   "connect -- -5",
		"help session create":                                             "session create --help",
		"session help":                                                    "session --help",
		"--help":                                                          "--help",
	} {
		w, err := args.Parse(root, strings.Fields(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if diff := cmp.Diff(strings.Fields(want), sorted(w)); diff != "" {
			t.Errorf("%q: -want +got\n%s", in, diff)
		}
	}
}

func TestMissingValue(t *testing.T) {
	root := tree(command.Env{Getenv: noEnv})
	for _, in := range []string{"connect --notify", "connect 1 --notify", "status --socket", "--socket"} {
		if got, err := args.Parse(root, strings.Fields(in)); err == nil || !strings.Contains(err.Error(), "needs a value") {
			t.Errorf("%q became %+v, %v", in, got, err)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	root := tree(command.Env{Getenv: noEnv})
	for in, want := range map[string]string{
		"conect 5":       `unknown command "conect" (did you mean "connect"?)`,
		"statsu":         `unknown command "statsu" (did you mean "status"?)`,
		"session crate":  `unknown command "session crate" (did you mean "create"?)`,
		"device remove":  `unknown command "device remove"`,
		"sess list":      `unknown command "sess" (did you mean "session"?)`,
		"--json frobnic": `unknown command "frobnic"`,
	} {
		if _, err := args.Parse(root, strings.Fields(in)); err == nil || err.Error() != want {
			t.Errorf("%q: %v; want %s", in, err, want)
		}
	}
}

// Whatever the arguments, nothing is lost and nothing is invented.
func FuzzParseArgs(f *testing.F) {
	f.Add("connect 5 --notify x")
	f.Add("-- -- --json")
	f.Add("session update --down= 5 -")
	root := tree(command.Env{Getenv: noEnv})
	f.Fuzz(func(t *testing.T, line string) {
		in := strings.Fields(line)
		w, err := args.Parse(root, in)
		if err != nil {
			return
		}
		out := sorted(w)
		count := map[string]int{}
		for _, word := range in {
			count[word]++
		}
		for _, word := range out {
			count[word]--
		}
		for w, n := range count {
			if n != 0 && w != "--" && strings.Trim(w, "-") != "h" && !strings.HasPrefix(strings.TrimLeft(w, "-"), "help") && !strings.HasPrefix(strings.TrimLeft(w, "-"), "h=") {
				t.Fatalf("%q became %q: %q %+d", in, out, w, -n)
			}
		}
	})
}

func noEnv(string) string { return "" }
