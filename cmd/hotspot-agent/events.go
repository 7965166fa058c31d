// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func (a *app) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "follow events, one JSON object a line",
		Description: `Prints the stored events with a number above N, then follows. It goes on by itself,
without a gap, when the agent is restarted.

   hotspot-agent events --after 120
   hotspot-agent events --new | jq -r 'select(.type == "client.disconnected") | .mac'`,
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "after", Usage: "`N` is the number of the last event seen; 0, the default, is all that are stored"},
			&cli.BoolFlag{Name: "new", Usage: "only what happens from now on", DisableDefaultText: true},
		},
		Action: a.events,
	}
}

func (a *app) events(c *cli.Context) error {
	client, after := a.client(c), c.Int64("after")
	switch {
	case after < 0:
		return usagef(c, "--after: %d is negative", after)
	case c.Bool("new") && c.IsSet("after"):
		return usagef(c, "--after and --new contradict each other")
	}
	if c.Bool("new") {
		status, err := client.Status(c.Context)
		if err != nil {
			return err
		}
		after = status.Counts.LastEvent
	}
	return a.follow(c.Context, client, after)
}

// follow prints events until ctx ends or the output breaks.
func (a *app) follow(ctx context.Context, client *api.Client, after int64) error {
	out := json.NewEncoder(a.stdout)
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
