// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// build is what this program was made from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty when it was not built in a checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = cmp.Or(b.Version, "unknown")
		return b
	}
	b.Version = cmp.Or(b.Version, info.Main.Version, "unknown")
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Commit = setting.Value[:min(12, len(setting.Value))]
		}
	}
	return b
}

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(c *cli.Context) error {
			return show(a, c, thisBuild(), func(w io.Writer, b build) {
				fmt.Fprintf(w, "%s %s (commit %s, %s, %s)\n", programName, b.Version, cmp.Or(b.Commit, "unknown"), b.Go, b.Platform)
			})
		},
	}
}
