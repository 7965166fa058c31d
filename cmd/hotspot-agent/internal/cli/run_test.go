// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/args"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
)

// --socket goes before the file, the file before the environment, as in run.
func TestWhichSocket(t *testing.T) {
	dir := t.TempDir()
	with, without := filepath.Join(dir, "with.yaml"), filepath.Join(dir, "without.yaml")
	for path, text := range map[string]string{with: "socket: " + dir + "/file.sock\n", without: "max_clients: 8\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) string { return map[string]string{"HOTSPOT_SOCKET": dir + "/env.sock"}[name] }
	for _, c := range []struct {
		want string
		args []string
	}{
		{"flag.sock", []string{"--config", with, "--socket", dir + "/flag.sock"}},
		{"file.sock", []string{"--config", with}},
		{"env.sock", []string{"--config", without}},
	} {
		e := command.Env{Getenv: env}
		parsed, err := args.Parse(tree(e), append([]string{"run"}, c.args...))
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := parsed.Context(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, load := range map[string]func(*cli.Context) (config.Config, error){"run": e.LoadConfig, "doctor": e.LoadConfigOrDefault} {
			if cfg, err := load(ctx); err != nil || cfg.Socket != filepath.Join(dir, c.want) {
				t.Errorf("%s %v: socket %s, %v; want %s", name, c.args, cfg.Socket, err, c.want)
			}
		}
	}
}
