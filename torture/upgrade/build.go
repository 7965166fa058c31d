// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// An edit makes a source file of the agent that of another version.
type edit struct {
	file string // from the module's root
	edit func([]byte) ([]byte, error)
}

const agentModule = "github.com/hotspot-agent/hotspot-agent"

var layoutVersion = regexp.MustCompile(`const layoutVersion = \d+`)

var (
	// otherProgram is a version with other programs and the same layout of the maps.
	otherProgram = edit{"pkg/dataplane/hotspot_bpfel.o", func(object []byte) ([]byte, error) {
		return append(object, "another version"...), nil // ELF ends where its sections do
	}}
	// otherLayout is a version that cannot share its maps.
	otherLayout = edit{"pkg/dataplane/wire.go", func(source []byte) ([]byte, error) {
		if !layoutVersion.Match(source) {
			return nil, fmt.Errorf("%s is not in it", layoutVersion)
		}
		return layoutVersion.ReplaceAll(source, []byte("const layoutVersion = 4242")), nil
	}}
)

// build builds a version of the agent that differs by one edit, in dir, with the flags
// that the given agent was built with. The working directory is in the module.
func build(ctx context.Context, like, dir string, e edit) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	file := filepath.Join(root, e.file)
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	edited, err := e.edit(source)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: filepath.Join(dir, filepath.Base(file))}})
	if err != nil {
		return "", err
	}
	flags, err := flagsOf(like)
	if err != nil {
		return "", err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, filepath.Base(file)), edited, 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600),
	)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hotspot-agent-"+filepath.Base(file))
	args := append([]string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/hotspot-agent")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build another version of the agent: %w\n%s", err, out)
	}
	return path, nil
}

// moduleRoot finds the sources of the agent, from its module or from this one.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", agentModule).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", agentModule, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// flagsOf returns the flags that decide what of a binary's build can be used again.
func flagsOf(binary string) ([]string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var flags []string
	for _, s := range info.Settings {
		if (s.Key == "-race" || s.Key == "-trimpath") && s.Value == "true" {
			flags = append(flags, s.Key)
		}
	}
	return flags, nil
}
