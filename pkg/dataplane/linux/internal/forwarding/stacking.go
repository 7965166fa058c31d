// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// RefuseStacks returns an error that names two interfaces of which one carries the other,
// nil where there are none.
func RefuseStacks(v *links.Snapshot, names []string) error {
	for _, s := range v.Stacks(names) {
		return fmt.Errorf("interfaces: %s: %s", describeStack(s), mendStack(s))
	}
	return nil
}

func describeStack(s links.Stack) string {
	return fmt.Sprintf("%s carries the frames of %s, and both are named: they would be counted twice", s.Lower, s.Upper)
}

func mendStack(s links.Stack) string {
	if s.Redundant != "" {
		return fmt.Sprintf("take %s out of `interfaces`, the other judges its frames", s.Redundant)
	}
	return "name one of them in `interfaces`"
}

func (c *Checker) stacking(v *links.Snapshot) Result {
	r := Result{Check: "stacking", Fine: "no named interface carries another"}
	for _, s := range v.Stacks(c.Names) {
		r.Found = append(r.Found, Finding{
			Problem: dataplane.Problem{Code: dataplane.StackedInterfaces, Interface: s.Lower, Subject: s.Upper, Detail: describeStack(s), Exposed: true},
			Mend:    mendStack(s) + " and restart the agent, or take them apart",
		})
	}
	return r
}
