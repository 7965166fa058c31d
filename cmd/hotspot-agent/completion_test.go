// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/completion"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

func values(r result) []string {
	var out []string
	for line := range strings.Lines(r.out) {
		value, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		out = append(out, value)
	}
	return out
}

func TestComplete(t *testing.T) {
	k := newKiosk(t)
	k.run("device", "add", phone.String(), "--hostname", "phone").expect(t, exit.Done)
	k.sell("--type", "time", "--time", "1h")
	for _, c := range []struct {
		words string // the last is the one at the cursor; "_" is empty
		want  string
	}{
		{"sta", "status"},
		{"de", "device detach"},
		{"device _", "list show add update delete"},
		{"session cr", "create"},
		{"connect _", "1"},
		{"connect 1 _", ""},
		{"connect --no", "--notify"},
		{"status --j", "--json"},
		{"session create --type _", "time data time_or_data"},
		{"session create --type=ti", "--type=time --type=time_or_data"},
		{"session create --device _", "1"},
		{"session show _", "1"},
		{"session update 1 --add-", "--add-time --add-data"},
		{"completion _", "bash zsh fish"},
		{"completion f", "fish"},
		{"frobnicate _", ""},
		{"run --config _", ""},
		{"_", "run connect disconnect status device session garden events top doctor announce backup restore detach version completion"},
		{"garden _", "list test"},
		{"announce _", "dnsmasq odhcpd radvd kea"},
	} {
		words := strings.Fields("--socket " + k.socket + " " + c.words)
		for i, w := range words {
			if w == "_" {
				words[i] = ""
			}
		}
		got := values(call(t, append([]string{completion.Word}, words...)...))
		if want := strings.Fields(c.want); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.words, got, want)
		}
	}
	call(t, completion.Word).expect(t, exit.Done, "run\trun the daemon")
	call(t, completion.Word, "--socket", k.socket, "connect", "").expect(t, exit.Done, "1\t"+phone.String()+" phone\n")
}

// The scripts are sourced and used as the shells do. A shell that is not installed
// is left out, bash never.
func TestCompletionScripts(t *testing.T) {
	dir := filepath.Dir(program(t))
	shells := map[string]string{
		"bash": `source <(hotspot-agent completion bash)
			complete_line() { COMP_LINE=$1; COMP_POINT=${#1}; _hotspot_agent; printf '%s\n' "${COMPREPLY[@]}"; }
			complete_line 'hotspot-agent session cr'
			complete_line 'hotspot-agent session create --type '
			complete_line 'hotspot-agent session create --type=da'
			complete -p hotspot-agent >/dev/null && echo registered`,
		"zsh":  `autoload -U compinit && compinit -D; source <(hotspot-agent completion zsh); print -l ${_comps[hotspot-agent]}`,
		"fish": `hotspot-agent completion fish | source; complete -C 'hotspot-agent session cr'; complete -C 'hotspot-agent session create --type '`,
	}
	want := map[string]string{
		"bash": "create\ntime\ndata\ntime_or_data\ndata\nregistered\n",
		"zsh":  "_hotspot_agent\n",
		"fish": "create\tsell a session to a device; a MAC not yet known becomes a device\ndata\tends when its data is used\ntime\tends when its time is used\ntime_or_data\tends on whichever is used first\n",
	}
	for shell, script := range shells {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil && shell != "bash" {
				t.Logf("%s is not installed: its script is not run", shell)
				call(t, "completion", shell).expect(t, exit.Done, completion.Word)
				return
			}
			cmd := exec.CommandContext(t.Context(), path, "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != want[shell] {
				t.Errorf("%v, printed:\n%s\nwant:\n%s", err, out, want[shell])
			}
		})
	}
}
