// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// failure is an error with what to try.
type failure struct {
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// report prints err on one line and returns the exit status.
func (a *app) report(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		help := strings.TrimSpace(usage.command + " --help")
		fmt.Fprintf(a.stderr, "%s: %s; see '%s %s'\n", programName, oneLine(usage.message), programName, help)
		return exitUsage
	}
	line := oneLine(err.Error())
	if try := hint(err); try != "" {
		line += "; " + try
	}
	fmt.Fprintf(a.stderr, "%s: %s\n", programName, line)
	return exitFailed
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// hints say what to try, by the code of the agent's answer; messages of the other
// codes say it themselves.
var hints = map[sessions.Code]string{
	sessions.NoSession:    "sell it one: hotspot-agent session create --device DEVICE --type time --time 1h",
	sessions.NotConnected: "connect it: hotspot-agent connect DEVICE",
	sessions.NotFound:     "see what there is: hotspot-agent device list, hotspot-agent session list",
	sessions.Full:         "raise max_clients in the configuration, stop the agent, run hotspot-agent detach, start the agent",
	sessions.Internal:     "look at the agent's log",
}

func hint(err error) string {
	var own *failure
	var coded *sessions.Error
	switch {
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &coded):
		return hints[coded.Code]
	}
	return ""
}
