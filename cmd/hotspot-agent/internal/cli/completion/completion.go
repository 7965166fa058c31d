// SPDX-License-Identifier: Apache-2.0

// Package completion completes command lines in bash, zsh and fish.
package completion

import (
	"embed"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// Word is what the shells' scripts call: the words up to the cursor follow,
// the last of them unfinished. It is not for people, and so no command of the tree.
const Word = "__complete"

//go:embed bash zsh fish
var scripts embed.FS

// Command is "completion".
func Command(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `   source <(hotspot-agent completion bash)       # in ~/.bashrc
   source <(hotspot-agent completion zsh)        # in ~/.zshrc
   hotspot-agent completion fish | source        # in ~/.config/fish/config.fish`,
		Action: e.Action(printScript),
	}
}

func printScript(e command.Env, c *cli.Context) error {
	shell := c.Args().First()
	script, err := scripts.ReadFile(shell)
	if err != nil {
		return exit.Usagef(c, "%q is not a shell it knows: want bash, zsh or fish", shell)
	}
	_, err = e.Stdout.Write(script)
	return err
}
