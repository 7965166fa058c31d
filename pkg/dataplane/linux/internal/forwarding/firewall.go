// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
)

// firewall is what is remembered of it: it is read anew only when it, or the way of the
// packets, is another one.
type firewall struct {
	generation uint32
	rules      *nft.Ruleset
	paths      []path
	found      []Result
}

// path is a way of packets through the router.
type path struct {
	client, uplink         string
	clientIndex, linkIndex int
	sure                   bool // the uplink has the route to the internet
}

// readFirewall reads the rules where they changed.
func (c *Checker) readFirewall() (changed bool, err error) {
	generation, err := nft.Generation(c.NS)
	if err != nil || c.fw.rules != nil && generation == c.fw.generation {
		return false, err
	}
	rules, err := nft.Read(c.NS)
	if err != nil {
		return false, err
	}
	c.fw = firewall{generation: generation, rules: rules}
	return true, nil
}

// firewalled checks whether the firewall lets packets between clients and uplink pass.
func (c *Checker) firewalled(v *links.Snapshot) ([]Result, error) {
	changed, err := c.readFirewall()
	if err != nil {
		return nil, err
	}
	paths := c.paths(v)
	if !changed && c.fw.found != nil && slices.Equal(paths, c.fw.paths) {
		return c.fw.found, nil
	}
	r := Result{Check: "firewall", Fine: "no chain of nft drops all that goes between customers and the uplink"}
	for _, p := range paths {
		by, err := c.dropped(p)
		if err != nil {
			return nil, err
		}
		if by != "" {
			r.Found = append(r.Found, droppedBy(by, p))
		}
	}
	// Without a route to the internet some of the others may be closed on purpose.
	if len(r.Found) > 0 && !paths[0].sure && len(r.Found) < len(paths) {
		for i := range r.Found {
			r.Found[i].Note, r.Found[i].Exposed = true, false
		}
	}
	c.fw.paths, c.fw.found = paths, []Result{r}
	return c.fw.found, nil
}

// dropped returns the chain that drops what a client sends, or the answers.
func (c *Checker) dropped(p path) (by string, err error) {
	for _, packet := range []nft.Packet{
		{Family: nft.FamilyIPv4, In: p.client, InIndex: p.clientIndex, Out: p.uplink, OutIndex: p.linkIndex},
		{Family: nft.FamilyIPv4, In: p.uplink, InIndex: p.linkIndex, Out: p.client, OutIndex: p.clientIndex, Reply: true},
	} {
		if by, err := c.fw.rules.Drops(packet); err != nil || by != "" {
			return by, err
		}
	}
	return "", nil
}

func droppedBy(chain string, p path) Finding {
	docker := ""
	if strings.HasSuffix(chain, " FORWARD") {
		docker = "; with Docker insert them into ip filter DOCKER-USER"
	}
	return Finding{
		Problem: dataplane.Problem{Code: dataplane.ForwardDropped, Interface: p.client, Subject: p.uplink, Exposed: true,
			Detail: fmt.Sprintf("the firewall's forward chain %s drops what goes between %s and %s: customers pay for nothing", chain, p.client, p.uplink)},
		Mend: fmt.Sprintf(`nft insert rule %s iifname "%s" oifname "%s" accept; nft insert rule %s iifname "%s" oifname "%s" ct state established,related accept%s`,
			chain, p.client, p.uplink, chain, p.uplink, p.client, docker),
	}
}

// paths leads from each routed interface with IPv4 addresses to the uplink; where no route
// leads to the internet, to all others that are up and have addresses.
func (c *Checker) paths(v *links.Snapshot) (list []path) {
	f := families[0]
	clients := c.withAddress(v, f)
	if len(clients) == 0 {
		return nil
	}
	uplinks := []string{c.uplink(v, f)}
	sure := uplinks[0] != ""
	if !sure {
		uplinks = c.others(v)
	}
	for _, client := range clients {
		for _, uplink := range uplinks {
			if from, to := v.ByName[client], v.ByName[uplink]; client != uplink && from != nil && to != nil {
				list = append(list, path{client, uplink, from.Attrs().Index, to.Attrs().Index, sure})
			}
		}
	}
	return list
}

// others are the interfaces with IPv4 addresses that are not client-facing, in order.
func (c *Checker) others(v *links.Snapshot) (names []string) {
	has := v.Addressed(true)
	client := v.ClientLinks(c.Names)
	for index, l := range v.ByIndex {
		a := l.Attrs()
		if has[index] && a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 && !slices.ContainsFunc(client, func(l netlink.Link) bool { return l.Attrs().Index == index }) {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names
}

// bridgeNetfilter checks whether the rules for IP see the frames of a bridge before its
// hook does. Destinations are translated by then: a portal behind one is not recognised.
func (c *Checker) bridgeNetfilter(v *links.Snapshot) ([]Result, error) {
	r := Result{Check: "bridge netfilter", Fine: "frames of bridges reach the programs before any rule of the firewall for IP"}
	for _, l := range v.ClientLinks(c.Names) {
		if l.Type() != "bridge" || !slices.Contains(c.Names, l.Attrs().Name) {
			continue // the hooks of ports come first
		}
		for _, f := range families {
			on, err := c.isOn("/proc/sys/net/bridge/" + f.bridged)
			if err != nil {
				return nil, err
			}
			if on {
				r.Found = append(r.Found, c.seenEarly(l.Attrs().Name, f))
			}
		}
	}
	return []Result{r}, nil
}

func (c *Checker) seenEarly(bridge string, of family) Finding {
	setting := of.bridged
	_, translates := c.fw.rules.Translates(of.firewall)
	f := Finding{
		Problem: dataplane.Problem{Code: dataplane.BridgeNetfilter, Interface: bridge, Subject: setting},
		Mend:    fmt.Sprintf("sysctl -w net.bridge.%s=0, or name the ports of %s in its place", setting, bridge),
		Note:    !translates,
	}
	f.Detail = fmt.Sprintf("br_netfilter: net.bridge.%s is 1, and the firewall translates destinations before the hook of %s sees them: "+
		"targets that a rule names are recognised, any other portal or service is out of reach before paying, and debited after", setting, bridge)
	if !translates {
		f.Detail = fmt.Sprintf("br_netfilter: net.bridge.%s is 1: the firewall sees the frames of %s before the programs do; "+
			"fragments are joined, and a destination that it translates would not be recognised", setting, bridge)
	}
	return f
}
