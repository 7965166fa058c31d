// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// redirects finds filters of the egress of named interfaces that send frames through an
// IFB. They come back to the egress of the interface (ifb_ri_tasklet of the kernel), and
// pass its hook a second time. What an IFB returns to the ingress skips the hook there.
func (c *Checker) redirects(v *links.Snapshot) ([]Result, error) {
	r := Result{Check: "redirects", Fine: "no filter sends the egress of a named interface through another"}
	names := c.Names
	if !haveIFB(v) {
		names = nil // as nearly everywhere: what is on the hooks need not be listed
	}
	for _, name := range names {
		l := v.ByName[name]
		if l == nil {
			continue
		}
		to, err := c.redirected(v, l)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			continue // it went, or its qdisc did
		}
		if err != nil {
			return nil, err
		}
		for _, ifb := range to {
			r.Found = append(r.Found, Finding{
				Problem: dataplane.Problem{Code: dataplane.Redirected, Interface: name, Subject: ifb, Exposed: true,
					Detail: fmt.Sprintf("a filter redirects the egress of %s to %s: what comes back passes the hook again, and downloads are debited twice", name, ifb)},
				Mend: fmt.Sprintf("shape on %s itself, or redirect the ingress of the uplink in its place (tc filter show dev %s)", name, name),
			})
		}
	}
	return []Result{r}, nil
}

func haveIFB(v *links.Snapshot) bool {
	for _, l := range v.ByIndex {
		if l.Type() == "ifb" {
			return true
		}
	}
	return false
}

// redirected returns the IFBs that filters of the egress of an interface send frames to.
func (c *Checker) redirected(v *links.Snapshot, l netlink.Link) (ifbs []string, err error) {
	var qdiscs []netlink.Qdisc
	if err := links.Dump(func() (err error) {
		qdiscs, err = c.NL.QdiscList(l)
		return err
	}); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, q := range qdiscs {
		var filters []netlink.Filter
		if err := links.Dump(func() (err error) {
			filters, err = c.NL.FilterList(l, egressOf(q))
			return err
		}); err != nil {
			return nil, err
		}
		for _, f := range filters {
			for _, index := range redirectsTo(f) {
				to := v.ByIndex[index]
				if to != nil && to.Type() == "ifb" && !seen[to.Attrs().Name] {
					seen[to.Attrs().Name] = true
					ifbs = append(ifbs, to.Attrs().Name)
				}
			}
		}
	}
	return ifbs, nil
}

// egressOf is the parent of the filters that a qdisc has for what is sent.
func egressOf(q netlink.Qdisc) uint32 {
	if q.Type() == "clsact" {
		return netlink.HANDLE_MIN_EGRESS
	}
	return q.Attrs().Handle
}

// redirectsTo are the interfaces to whose egress a filter redirects or copies.
func redirectsTo(f netlink.Filter) (indexes []int) {
	var actions []netlink.Action
	switch f := f.(type) {
	case *netlink.U32:
		actions = f.Actions
		if f.RedirIndex != 0 && len(actions) == 0 {
			return []int{f.RedirIndex}
		}
	case *netlink.MatchAll:
		actions = f.Actions
	case *netlink.Flower:
		actions = f.Actions
	case *netlink.FwFilter:
		actions = f.Actions
	}
	for _, a := range actions {
		if m, ok := a.(*netlink.MirredAction); ok && (m.MirredAction == netlink.TCA_EGRESS_REDIR || m.MirredAction == netlink.TCA_EGRESS_MIRROR) {
			indexes = append(indexes, m.Ifindex)
		}
	}
	return indexes
}
