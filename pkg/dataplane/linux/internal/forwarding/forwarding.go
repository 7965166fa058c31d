// SPDX-License-Identifier: Apache-2.0

// Package forwarding checks what else on the machine decides whether the packets of customers
// pass, and how often they are counted: stacked interfaces, settings of the kernel, the firewall,
// redirects.
// It changes nothing. The running agent and doctor use the same checks.
package forwarding

import (
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// Finding is something that a check found wrong.
type Finding struct {
	dataplane.Problem        // its Detail is What and Why
	Mend              string // the command that ends it
	Note              bool   // worth knowing, and right on some machines: no problem of the running agent
}

// Result is what one check found.
type Result struct {
	Check string // stable name, with the interface where there is one
	Fine  string // what is so when nothing is found
	Found []Finding
}

// Checker checks the client-facing interfaces of a network namespace. Not safe for
// concurrent use.
type Checker struct {
	NS    *links.NetNS
	NL    *netlink.Handle
	Names []string // of the client-facing interfaces

	fw firewall
}

// Check does all checks. An error means that the kernel could not be asked.
func (c *Checker) Check(v *links.Snapshot) ([]Result, error) {
	results := []Result{c.stacking(v)}
	for _, check := range []func(*links.Snapshot) ([]Result, error){c.settings, c.firewalled, c.bridgeNetfilter, c.redirects} {
		found, err := check(v)
		if err != nil {
			return results, err
		}
		results = append(results, found...)
	}
	return results, nil
}

// Problems are the findings of results that concern a running agent.
func Problems(results []Result) (problems []dataplane.Problem) {
	for _, r := range results {
		for _, f := range r.Found {
			if !f.Note {
				p := f.Problem
				p.Detail += "; " + f.Mend
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// routed are the interfaces by which the packets of clients are routed: the named ones, and
// of ports their bridge.
func (c *Checker) routed(v *links.Snapshot) (list []netlink.Link) {
	for _, l := range v.ClientLinks(c.Names) {
		if v.Bridge(l) == nil {
			list = append(list, l)
		}
	}
	return list
}
