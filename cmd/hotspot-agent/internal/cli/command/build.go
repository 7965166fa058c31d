// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Build is what this program was made from.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty when it was not built in a checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Build reads what the linker and the go command recorded.
func (e Env) Build() Build {
	b := Build{Version: e.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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
