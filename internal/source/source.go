// SPDX-License-Identifier: Apache-2.0

// Package source finds the sources of the agent, for programs that build variants of it.
package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/hotspot-agent/hotspot-agent"

// Root is the folder of the agent's module. The working directory is in it, or in a module
// that replaces it by a folder, as bench and torture do.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Extract writes the files of a revision of the Git repository that root is in to a folder.
func Extract(ctx context.Context, root, revision, folder string) error {
	archive := filepath.Join(folder, ".archive.tar")
	for _, command := range [][]string{
		{"git", "-C", root, "archive", "--output", archive, revision},
		{"tar", "-x", "-f", archive, "-C", folder},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return os.Remove(archive)
}
