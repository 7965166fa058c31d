// SPDX-License-Identifier: Apache-2.0

package args

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// nearest suggests a command that starts like word or is one letter off.
func nearest(word string, commands []*cli.Command) string {
	for _, command := range commands {
		if !command.Hidden && len(word) > 1 && (strings.HasPrefix(command.Name, word) || oneOff(command.Name, word)) {
			return fmt.Sprintf(" (did you mean %q?)", command.Name)
		}
	}
	return ""
}

// oneOff reports whether a and b differ by one letter added, lost, changed, or
// two neighbours swapped.
func oneOff(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return swapped || len(a) <= 1 && len(b) <= 1
}
