// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

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
without a gap, when the agent is restarted. Where events are missing, because they were
trimmed or the database is another one, it prints events.lost first. To continue later,
give it "seq" and "generation" of the last line.

   hotspot-agent events --after 120
   hotspot-agent events --new | jq -r 'select(.type == "client.disconnected") | .mac'`,
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "after", Usage: "`N` is the number of the last event seen; 0, the default, is all that are stored"},
			&cli.StringFlag{Name: "generation", Usage: "`G` is the generation of that event: a database restored since is noticed"},
			&cli.StringFlag{Name: "device", Usage: "only of `DEVICE`"},
			&cli.StringFlag{Name: "type", Usage: "only of these `TYPES`, separated by commas: session.consumed,session.expired"},
			&cli.BoolFlag{Name: "new", Usage: "only what happens from now on", DisableDefaultText: true},
		},
		Action: e.Action(events),
	}
}

func events(e command.Env, c *cli.Context) error {
	client := e.Client(c)
	query := api.EventQuery{After: c.Int64("after"), Generation: c.String("generation"), Device: c.String("device")}
	for name := range strings.FieldsFuncSeq(c.String("type"), func(r rune) bool { return r == ',' }) {
		query.Types = append(query.Types, api.EventType(name))
	}
	switch {
	case query.After < 0:
		return exit.Usagef(c, "--after: %d is negative", query.After)
	case query.Generation != "" && !c.IsSet("after"):
		return exit.Usagef(c, "--generation belongs to --after, which is missing")
	case c.Bool("new") && c.IsSet("after"):
		return exit.Usagef(c, "--after and --new contradict each other")
	}
	if c.Bool("new") {
		status, err := client.Status(c.Context)
		if err != nil {
			return err
		}
		query.After, query.Generation = status.Counts.LastEvent, status.Counts.Generation
	}
	return follow(c.Context, e.Stdout, client, query)
}

// follow prints events until ctx ends or the output breaks.
func follow(ctx context.Context, w io.Writer, client *api.Client, query api.EventQuery) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for event, err := range client.SelectEvents(ctx, query) {
		if err != nil {
			return err
		}
		if err := out.Encode(event); err != nil {
			return fmt.Errorf("writing the events: %w", err)
		}
	}
	return nil
}
