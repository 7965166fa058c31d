// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
)

// hooks is what was found on the hooks of an interface, and done.
type hooks struct {
	now       attach.Hooks
	did       attach.Change // the most that was done on one
	overtaken []string
}

func (h *hooks) add(dir int, r attach.Result) {
	h.now[dir] = r.Now
	h.did = max(h.did, r.Did)
	if r.Did != attach.Moved {
		return
	}
	for _, p := range r.Found {
		h.overtaken = append(h.overtaken, fmt.Sprintf("%s on %s", p, attach.HookNames[dir]))
	}
}

// overtook says before which programs ours was moved; "" when it was not.
func (h *hooks) overtook() string {
	if len(h.overtaken) == 0 {
		return ""
	}
	return strings.Join(h.overtaken, ", ") + " ran before ours"
}
