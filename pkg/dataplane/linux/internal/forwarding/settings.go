// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	name     string
	number   int
	settings string // folder of the interfaces' settings
	all      string // the setting that turns all on
	bridged  string // the setting by which the firewall sees frames of bridges
	firewall uint8  // the family of its rules
	internet net.IP // an address by whose route the uplink is found; nothing is sent
}

var families = []family{
	{"IPv4", unix.AF_INET, "/proc/sys/net/ipv4/conf", "net.ipv4.ip_forward", "bridge-nf-call-iptables", nft.FamilyIPv4, net.IPv4(1, 1, 1, 1)},
	{"IPv6", unix.AF_INET6, "/proc/sys/net/ipv6/conf", "net.ipv6.conf.all.forwarding", "bridge-nf-call-ip6tables", nft.FamilyIPv6, net.ParseIP("2606:4700:4700::1111")},
}

// settings checks whether the kernel forwards between the clients and the uplink. A packet
// is forwarded if the interface that it came by forwards: both must, for there and back.
func (c *Checker) settings(v *links.Snapshot) ([]Result, error) {
	var results []Result
	for _, f := range families {
		on := c.withAddress(v, f)
		if len(on) == 0 {
			continue // the router has no such addresses for its clients
		}
		r := Result{Check: f.name + " forwarding", Fine: "on"}
		if uplink := c.uplink(v, f); uplink != "" {
			on = append(on, uplink)
			r.Fine += ", the uplink is " + uplink
		}
		for _, name := range on {
			off, err := c.isOff(filepath.Join(f.settings, name, "forwarding"))
			if err != nil {
				return results, err
			}
			if off {
				r.Found = append(r.Found, f.off(name))
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// off is the finding about an interface that forwards nothing. A client that has no IPv6
// falls back to IPv4 (RFC 8305), so that it is worth a note.
func (f family) off(name string) Finding {
	p := dataplane.Problem{Code: dataplane.ForwardingOff, Interface: name, Exposed: f.number == unix.AF_INET}
	p.Detail = fmt.Sprintf("%s forwarding is off on %s (%s): customers pay, and their packets get no further", f.name, name, f.all)
	return Finding{Problem: p, Mend: fmt.Sprintf("sysctl -w %s=1", f.all), Note: !p.Exposed}
}

// withAddress are the routed interfaces with an address that clients can use.
func (c *Checker) withAddress(v *links.Snapshot, f family) (names []string) {
	has := v.Addressed(f.number == unix.AF_INET)
	for _, l := range c.routed(v) {
		if has[l.Attrs().Index] {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// uplink is the interface of the route to the internet, "" for none.
func (c *Checker) uplink(v *links.Snapshot, f family) string {
	routes, err := c.NL.RouteGet(f.internet)
	if err != nil || len(routes) == 0 {
		return ""
	}
	if l := v.ByIndex[routes[0].LinkIndex]; l != nil && l.Attrs().Flags&net.FlagLoopback == 0 {
		return l.Attrs().Name
	}
	return ""
}

// isOff reports whether a setting of the namespace is 0. One that does not exist, as the
// interface or the protocol went, is neither off nor on.
func (c *Checker) isOff(path string) (bool, error) {
	value, err := c.setting(path)
	return value == "0", err
}

func (c *Checker) isOn(path string) (bool, error) {
	value, err := c.setting(path)
	return value != "" && value != "0", err
}

func (c *Checker) setting(path string) (value string, err error) {
	err = c.NS.Run(func() error {
		text, err := os.ReadFile(path)
		value = strings.TrimSpace(string(text))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return value, err
}
