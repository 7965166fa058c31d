// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/hotspot-agent/hotspot-agent/internal/source"
)

// An edit makes a source file of pkg/dataplane that of another version of the agent. It
// returns nil for every other file.
type edit func(name string, text []byte) []byte

var layoutVersion = regexp.MustCompile(`(const [lL]ayoutVersion =) .+`)

// otherProgram is a version with other programs and the same layout of the maps.
func otherProgram(name string, object []byte) []byte {
	if name != "hotspot_bpfel.o" {
		return nil
	}
	return append(object, "another version"...) // the loader ignores bytes after the ELF sections
}

// otherLayout is a version that cannot share its maps.
func otherLayout(_ string, text []byte) []byte {
	if !layoutVersion.Match(text) {
		return nil
	}
	return layoutVersion.ReplaceAll(text, []byte("$1 uint32(4242)"))
}

// apply finds the file that an edit is for, and returns its path and new text.
func (e edit) apply(root string) (file string, edited []byte, err error) {
	err = filepath.WalkDir(filepath.Join(root, "pkg", "dataplane"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if edited = e(entry.Name(), text); edited != nil {
			file = path
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && file == "" {
		err = errors.New("pkg/dataplane has no file to edit for another version")
	}
	return file, edited, err
}

// build builds a version of the agent that differs by one edit, in dir, with the flags
// that the given agent was built with.
func build(ctx context.Context, like, dir string, e edit) (string, error) {
	root, err := source.Root(ctx)
	if err != nil {
		return "", err
	}
	file, edited, err := e.apply(root)
	if err != nil {
		return "", err
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
