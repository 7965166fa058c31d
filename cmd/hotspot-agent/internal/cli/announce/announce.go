// SPDX-License-Identifier: Apache-2.0

// Package announce prints what makes a DHCP server announce the portal's API.
package announce

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/captive"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
)

// Command is "announce".
func Command(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "announce",
		Usage:     "print what makes a DHCP server announce the portal to phones",
		ArgsUsage: strings.Join(names(), "|"),
		Description: `Prints configuration for that program, which announces captive.api (RFC 8910): DHCPv4
option 114, DHCPv6 option 103, and the option of router advertisements, as far as the
program sends them. It changes nothing: enter it where the comments say, and restart
the program. Phones take the API only with a valid certificate, so that this is
verified first.

   hotspot-agent announce dnsmasq > /etc/dnsmasq.d/captive.conf`,
		Flags:  []cli.Flag{command.ConfigFlag()},
		Action: e.Action(announce),
	}
}

// Text is a part of the configuration of a program.
type Text struct {
	File string `json:"file"` // where it belongs
	Text string `json:"text"`
}

func announce(e command.Env, c *cli.Context) error {
	if c.NArg() != 1 || !slices.Contains(names(), c.Args().First()) {
		return exit.Usagef(c, "want one of %s, got %q", strings.Join(names(), ", "), strings.Join(c.Args().Slice(), " "))
	}
	cfg, err := e.LoadConfigOrDefault(c)
	if err != nil {
		return err
	}
	if cfg.CaptiveAPI == "" {
		return &exit.Failure{
			Err:  errors.New("captive.api is not set: there is nothing to announce"),
			Hint: "set it to the https URL at which the portal serves RFC 8908 (the SDK's CaptiveHandler)",
		}
	}
	if err := captive.PathOf(cfg).VerifyCertificate(c.Context); err != nil {
		return &exit.Failure{
			Err:  fmt.Errorf("captive.api %q is not announced, as phones would not take it: %w", cfg.CaptiveAPI, err),
			Hint: "hotspot-agent doctor checks the whole way",
		}
	}
	var networks []string
	for _, name := range cfg.Interfaces {
		if n := captive.Network(name); !slices.Contains(networks, n) {
			networks = append(networks, n)
		}
	}
	return output.Show(e.Stdout, c, Configuration(c.Args().First(), cfg.CaptiveAPI, networks), write)
}

func write(w io.Writer, texts []Text) {
	for i, t := range texts {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprint(w, t.Text)
	}
}
