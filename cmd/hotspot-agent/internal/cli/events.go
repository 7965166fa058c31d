// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func eventsCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "follow events, one JSON object a line",
		Description: `Prints the stored events with a number above N, then follows. It reconnects,
without a gap, when the agent is restarted.

   hotspot-agent events --after 120
   hotspot-agent events --new | jq -r 'select(.type == "client.disconnected") | .mac'`,
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "after", Usage: "`N` is the number of the last event seen; 0, the default, is all that are stored"},
			&cli.BoolFlag{Name: "new", Usage: "only what happens from now on", DisableDefaultText: true},
		},
		Action: e.Action(events),
	}
}

func events(e command.Env, c *cli.Context) error {
	client, after := e.Client(c), c.Int64("after")
	switch {
	case after < 0:
		return exit.Usagef(c, "--after: %d is negative", after)
	case c.Bool("new") && c.IsSet("after"):
		return exit.Usagef(c, "--after and --new contradict each other")
	}
	if c.Bool("new") {
		status, err := client.Status(c.Context)
		if err != nil {
			return err
		}
		after = status.Counts.LastEvent
	}
	return follow(c.Context, e.Stdout, client, after)
}

// follow prints events until ctx ends or the output breaks.
func follow(ctx context.Context, w io.Writer, client *api.Client, after int64) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for event, err := range client.Events(ctx, after) {
		if err != nil {
			return err
		}
		if err := out.Encode(event); err != nil {
			return fmt.Errorf("writing the events: %w", err)
		}
	}
	return nil
}
