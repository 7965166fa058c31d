// SPDX-License-Identifier: Apache-2.0

// Package exit has the exit statuses of the program and the errors that lead to them.
package exit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Program is the program's name in what it prints.
const Program = "hotspot-agent"

// The exit statuses, as the help promises them.
const (
	Done   = 0
	Failed = 1
	Usage  = 2

	Exposed = 3 // of doctor: customers can slip through, pay for nothing, or are cut off
)

// UsageError is a mistake in how the program was called.
type UsageError struct {
	Command string // "session create"; empty for the program itself
	Message string
}

func (e *UsageError) Error() string { return e.Message }

// Usagef is a mistake in the call of c's command.
func Usagef(c *cli.Context, format string, args ...any) error {
	return &UsageError{Command: c.Command.HelpName, Message: fmt.Sprintf(format, args...)}
}

// Failure is an error with what to try.
type Failure struct {
	Err    error
	Hint   string
	Status int // of the program; 0 stands for Failed
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Report prints err on one line and returns the exit status.
func Report(stderr io.Writer, err error) int {
	var usage *UsageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &usage):
		help := strings.TrimSpace(usage.Command + " --help")
		fmt.Fprintf(stderr, "%s: %s; see '%s %s'\n", Program, output.OneLine(usage.Message), Program, help)
		return Usage
	}
	line := output.OneLine(err.Error())
	if try := hint(err); try != "" {
		line += "; " + try
	}
	fmt.Fprintf(stderr, "%s: %s\n", Program, line)
	var failure *Failure
	if errors.As(err, &failure) {
		return cmp.Or(failure.Status, Failed)
	}
	return Failed
}

// hints say what to try, by the code of the agent's answer; messages of the other
// codes say it themselves.
var hints = map[sessions.Code]string{
	sessions.NoSession:    "sell it one: hotspot-agent session create --device DEVICE --type time --time 1h",
	sessions.NotConnected: "connect it: hotspot-agent connect DEVICE",
	sessions.NotFound:     "see what there is: hotspot-agent device list, hotspot-agent session list",
	sessions.Full:         "raise max_clients in the configuration, stop the agent, run hotspot-agent detach, start the agent",
	sessions.Internal:     "see the agent's log",
}

func hint(err error) string {
	var failure *Failure
	var coded *sessions.Error
	switch {
	case errors.As(err, &failure):
		return failure.Hint
	case errors.As(err, &coded):
		return hints[coded.Code]
	}
	return ""
}
