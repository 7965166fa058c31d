// SPDX-License-Identifier: Apache-2.0

// Package teaterm keeps the terminal from being questioned before main.
//
// bubbletea v1 asks it for its background colour in an init function (its
// tea_init.go): every command would write escape sequences, swallow what was typed
// ahead, and wait five seconds for a terminal that does not answer. It leaves a
// dumb terminal alone. Packages are initialized in the order of their paths as far
// as their imports allow, so that this one, which imports nothing but os, comes
// before all that bubbletea is made of. A test holds it.
package teaterm

import "os"

var term, known = os.LookupEnv("TERM")

func init() { _ = os.Setenv("TERM", "dumb") }

// Restore gives TERM its value back. It is the first thing main does.
func Restore() {
	if known {
		_ = os.Setenv("TERM", term)
		return
	}
	_ = os.Unsetenv("TERM")
}
