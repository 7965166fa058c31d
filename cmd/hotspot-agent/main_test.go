// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// actAsProgram makes the test binary be the program: what runs it as another
// process needs no build of its own, and runs what is tested.
const actAsProgram = "HOTSPOT_TEST_ACT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program returns a path that runs this program under its own name.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), exit.Program)
	script := "#!/bin/sh\n" + actAsProgram + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// result is what one call of the program did.
type result struct {
	status      int
	out, stderr string
}

// call runs the program in this process.
func call(t *testing.T, args ...string) result {
	t.Helper()
	return callIn(t.Context(), noEnv, args...)
}

func callIn(ctx context.Context, env func(string) string, args ...string) result {
	var out, stderr bytes.Buffer
	status := run(ctx, args, env, &out, &stderr)
	return result{status, out.String(), stderr.String()}
}

// expect checks status and parts of the output. A part that starts with "!" must
// not be there; errors are one line.
func (r result) expect(t *testing.T, status int, parts ...string) result {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d\nstdout: %s\nstderr: %s", r.status, status, r.out, r.stderr)
	}
	if lines := strings.Count(r.stderr, "\n"); status != exit.Done && lines != 1 || status == exit.Done && lines != 0 {
		t.Errorf("%d lines on stderr with status %d: %s", lines, status, r.stderr)
	}
	text := r.out + r.stderr
	for _, part := range parts {
		if absent, ok := strings.CutPrefix(part, "!"); ok && strings.Contains(text, absent) {
			t.Errorf("it says %q:\n%s", absent, text)
		} else if !ok && !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
	return r
}

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"":                                           "which command?; see 'hotspot-agent --help'",
		"device":                                     "which command?; see 'hotspot-agent device --help'",
		"frobnicate":                                 `unknown command "frobnicate"; see 'hotspot-agent --help'`,
		"session frobnicate":                         `unknown command "session frobnicate"; see 'hotspot-agent session --help'`,
		"connect":                                    "DEVICE is missing; see 'hotspot-agent connect --help'",
		"connect 1 2":                                `unexpected argument "2"`,
		"status 1 2":                                 `unexpected argument "2"`,
		"version 1":                                  `unexpected argument "1"`,
		"connect 1 --bogus":                          "unknown flag --bogus; see 'hotspot-agent connect --help'",
		"connect 1 --notify":                         "--notify needs a value; see 'hotspot-agent connect --help'",
		"--bogus status":                             "unknown flag --bogus",
		"device update 1":                            "nothing to change",
		"session update 1":                           "nothing to change",
		"session show x":                             `ID: "x" is not the number of a session`,
		"session show 0":                             `ID: "0" is not the number of a session`,
		"session show -1":                            "unknown flag -1",
		"session delete":                             "ID is missing",
		"session create --type time":                 "--device is missing",
		"session create --device 1":                  "--type is missing",
		"session update 1 --type gold":               `--type: "gold" is not a session type`,
		"session update 1 --data 100":                `--data: "100" has no unit`,
		"session update 1 --data -5MB":               `--data: "-5MB" is negative`,
		"session update 1 --data NaNMB":              `--data: "NaNMB" is not an amount`,
		"session update 1 --data 9999999999TB":       `--data: "9999999999TB" is too large`,
		"session update 1 --time 3600":               `--time: "3600" has no unit`,
		"session update 1 --time -1h":                `--time: "-1h" is negative`,
		"session update 1 --time 1y":                 `--time: "1y" has an unknown unit "y"`,
		"session update 1 --down NaN":                `--down: "NaN" is not an amount`,
		"session update 1 --down -1":                 `--down: "-1" is negative`,
		"session update 1 --up inf":                  `--up: "inf" is not an amount`,
		"session update 1 --up 1e400":                `--up: "1e400" has an unknown unit "e400"`,
		"session update 1 --up 99999999999999999999": `--up: "99999999999999999999" is too large`,
		"session update 1 --expires soon":            `--expires: "soon" is not an amount`,
		"session update 1 --expires 36h":             `--expires: "36h" is not a whole number of days`,
		"session update 1 --time 1h --add-time 1h":   "contradict each other",
		"session update 1 --data 1MB --add-data 1MB": "contradict each other",
		"session update 1 --down 5 --global-speed":   "contradict each other",
		"events --after -1":                          "--after: -1 is negative",
		"events --after x":                           `invalid value "x" for flag -after`,
		"events --after 1 --new":                     "contradict each other",
		"completion tcsh":                            `"tcsh" is not a shell it knows`,
		"completion":                                 "bash|zsh|fish is missing",
		"help frobnicate":                            `unknown command "frobnicate"`,
		"session create --device 1 --type time --add-time 1h": "unknown flag --add-time",
	} {
		t.Run(line, func(t *testing.T) {
			call(t, strings.Fields(line)...).expect(t, exit.Usage, want)
		})
	}
}

// Each command has a help text with its usage; those with flags or arguments show
// them. No help is an error.
func TestHelp(t *testing.T) {
	call(t, "--help").expect(t, exit.Done, "Exit status: 0 done, 1 failed", "DEVICE is an id, a MAC or an IP", "connect", "doctor", "!__complete")
	call(t, "help", "session").expect(t, exit.Done, "create", "delete")
	call(t, "help", "session", "create").expect(t, exit.Done, "--global-speed", "--expires DAYS", "hotspot-agent session create --device 5")
	for _, line := range []string{
		"run", "connect", "disconnect", "status", "device list", "device show", "device add", "device update", "session create", "session list",
		"session show", "session update", "session delete", "events", "top", "doctor", "detach", "version", "completion",
	} {
		r := call(t, append(strings.Fields(line), "--help")...).expect(t, exit.Done, "USAGE:", "hotspot-agent "+line)
		if again := call(t, append(strings.Fields(line), "-h")...); again != r {
			t.Errorf("%s -h differs from --help", line)
		}
	}
}

func TestVersion(t *testing.T) {
	call(t, "version").expect(t, exit.Done, "hotspot-agent ", "commit", "go1.", "linux/")
	call(t, "version", "--json").expect(t, exit.Done, `{"version":"`, `"platform":"linux/`)
}

// Without an agent every command that needs one says so, on one line.
func TestNoAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none.sock")
	for _, line := range []string{
		"status", "status 1", "connect 1", "disconnect 1", "device list", "device show 1", "device add 02:00:5e:10:00:01", "device update 1 --ip 10.0.0.1",
		"session list", "session show 1", "session renew-claim 1", "session update 1 --down 5", "session delete 1", "session create --device 1 --type time --time 1h",
		"events", "events --new", "top",
	} {
		t.Run(line, func(t *testing.T) {
			call(t, append(strings.Fields(line), "--socket", socket)...).expect(t, exit.Failed, "no agent answers on "+socket, "hotspot-agent run")
		})
	}
	env := func(name string) string { return map[string]string{"HOTSPOT_SOCKET": socket}[name] }
	callIn(t.Context(), env, "status").expect(t, exit.Failed, socket)
	callIn(t.Context(), env, "status", "--socket", socket+"2").expect(t, exit.Failed, socket+"2")
}

func TestExitStatusOfTheProcess(t *testing.T) {
	for line, want := range map[string]int{"version": exit.Done, "status --socket /nowhere/x.sock": exit.Failed, "frobnicate": exit.Usage} {
		cmd := exec.Command(program(t), strings.Fields(line)...)
		_ = cmd.Run() // only its status counts
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit status %d, want %d", line, got, want)
		}
	}
}

func noEnv(string) string { return "" }
