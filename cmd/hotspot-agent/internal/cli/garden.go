// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func gardenCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "garden",
		Usage: "show what devices reach before paying, and test a name",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list networks, names, and the addresses that the router's DNS answered with",
				Action: e.Action(gardenList),
			},
			{
				Name: "test", Usage: "say whether a name is in the walled garden, and which of its addresses are open", ArgsUsage: "NAME",
				Description: `The router resolves the name. An address opens with the answer to a device: one that
no device asked for is not open yet.

   hotspot-agent garden test pay.example`,
				Action: e.Action(gardenTest),
			},
		},
	}
}

func gardenList(e command.Env, c *cli.Context) error {
	garden, err := e.Client(c).Garden(c.Context)
	if err != nil {
		return err
	}
	return output.Show(e.Stdout, c, garden, printGarden)
}

func printGarden(w io.Writer, g api.Garden) {
	ports := strings.Trim(fmt.Sprint(g.Ports), "[]")
	output.Fields(w,
		"networks", output.OrDash(strings.Join(g.Networks, " ")),
		"names", output.OrDash(strings.Join(g.Names, " ")),
		"ports of names", output.OrDash(ports),
		"speed of names", units.FormatLimit(g.SpeedBPS),
		"open addresses", fmt.Sprintf("%d of at most %d", len(g.Addresses), g.MaxAddresses),
		"DNS answers", fmt.Sprintf("%d about these names, %d of them read in part", g.Counts.Answers, g.Counts.Partial),
		"not opened", fmt.Sprintf("%d private or of the router", g.Counts.Refused),
	)
	if len(g.Addresses) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, a := range g.Addresses {
		rows = append(rows, []string{a.Address, wholeSeconds(a.RemainingSecs), wholeSeconds(a.NamedSecsAgo)})
	}
	output.Table(w, []string{"ADDRESS", "OPEN FOR", "NAMED AGO"}, rows)
}

func wholeSeconds(n int64) string { return units.FormatTime(time.Duration(n) * time.Second) }

func gardenTest(e command.Env, c *cli.Context) error {
	test, err := e.Client(c).TestGarden(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	return output.Show(e.Stdout, c, test, printGardenTest)
}

func printGardenTest(w io.Writer, t api.GardenTest) {
	matches := "no"
	if t.Matches {
		matches = "yes, by " + t.Entry
	}
	output.Fields(w, "name", output.Printable(t.Name), "in walled_garden", matches)
	if t.ResolveError != "" {
		output.Fields(w, "addresses", "none: "+output.Printable(t.ResolveError))
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, a := range t.Addresses {
		open := "no"
		if a.Open {
			open = "yes"
		}
		if a.RemainingSecs > 0 {
			open = "for " + wholeSeconds(a.RemainingSecs)
		}
		rows = append(rows, []string{a.Address, open, a.Why})
	}
	output.Table(w, []string{"ADDRESS", "OPEN", "WHY"}, rows)
}
