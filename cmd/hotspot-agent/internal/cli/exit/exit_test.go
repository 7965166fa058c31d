// SPDX-License-Identifier: Apache-2.0

package exit

import (
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// A restart alone does not enlarge a table that is pinned.
func TestHintOfFull(t *testing.T) {
	var stderr strings.Builder
	if status := Report(&stderr, sessions.Errorf(sessions.Full, "no room")); status != Failed || !strings.Contains(stderr.String(), "detach") {
		t.Errorf("status %d: %s", status, stderr.String())
	}
}
