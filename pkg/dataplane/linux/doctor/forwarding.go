// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/forwarding"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// checkForwarding does the checks of the running agent, and those of what else customers
// need of the router.
func checkForwarding(opts linux.Options, s *links.NetNS, h *netlink.Handle, v *links.Snapshot) (found []Finding) {
	checker := forwarding.Checker{NS: s, NL: h, Names: opts.Interfaces}
	results, err := checker.Check(v)
	if err == nil {
		var services []forwarding.Result
		services, err = checker.Services(v, opts.Portals)
		results = append(results, services...)
	}
	for _, r := range results {
		if len(r.Found) == 0 {
			found = append(found, Finding{r.Check, OK, r.Fine, ""})
		}
		for _, f := range r.Found {
			found = append(found, Finding{r.Check, levelOf(f), f.Detail, f.Mend})
		}
	}
	if err != nil {
		found = append(found, Finding{"forwarding", Fail, "not readable: " + err.Error(), "run as root"})
	}
	return found
}

func levelOf(f forwarding.Finding) Level {
	switch {
	case f.Exposed:
		return Exposed
	case f.Note:
		return Warn
	}
	return Fail
}
