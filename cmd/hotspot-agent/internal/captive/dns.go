// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// probes are the names by which phones and browsers look for a portal.
var probes = []string{
	"connectivitycheck.gstatic.com", // Android, ChromeOS, Chromium
	"captive.apple.com",
	"www.msftconnecttest.com",
	"detectportal.firefox.com",
}

// checkDNS asks for the names of the probes. They have to lead out: Android takes a portal at a
// private address for a network without internet.
func (p Path) checkDNS(ctx context.Context) []Finding {
	const check = "captive DNS"
	if p.Redirect == "" {
		return nil
	}
	unresolved, inside := p.lookupAll(ctx, probes)
	switch {
	case len(inside) > 0:
		return []Finding{{check, Fail, strings.Join(inside, ", ") + ": an address of this network, by which Android says that there is no internet",
			"let the DNS server answer truthfully: grep -rn 'address=/' /etc/dnsmasq.conf /etc/dnsmasq.d, and remove what matches the names"}}
	case len(unresolved) > 0:
		return []Finding{{check, Fail, fmt.Sprintf("no answer for %s (DNS %s): without it no phone looks for a portal", strings.Join(unresolved, ", "), p.dnsName()),
			"check the uplink and the DNS server: nslookup " + unresolved[0] + " " + p.dnsHost()}}
	}
	return []Finding{{check, OK, fmt.Sprintf("the %d names of the probes lead out", len(probes)), ""}}
}

// checkGarden asks for the names of the walled garden. Their addresses are learnt from the
// router's answers, and private ones are not opened.
func (p Path) checkGarden(ctx context.Context) []Finding {
	const check = "captive garden"
	if len(p.Garden) == 0 {
		return nil
	}
	unresolved, inside := p.lookupAll(ctx, p.Garden)
	switch {
	case len(unresolved) > 0:
		return []Finding{{check, Warn, fmt.Sprintf("no answer for %s (DNS %s)", strings.Join(unresolved, ", "), p.dnsName()),
			"correct the name in walled_garden, or check the DNS server: nslookup " + unresolved[0] + " " + p.dnsHost()}}
	case len(inside) > 0:
		return []Finding{{check, Warn, strings.Join(inside, ", ") + ": private addresses are not opened by a name",
			"enter the address in walled_garden"}}
	}
	return []Finding{{check, OK, fmt.Sprintf("all %d names resolve", len(p.Garden)), ""}}
}

// lookupAll asks for names at once. It returns those without an answer, and those with an
// address inside, with it.
func (p Path) lookupAll(ctx context.Context, names []string) (unresolved, inside []string) {
	type answer struct {
		name  string
		addrs []netip.Addr
		err   error
	}
	const most = 16 // at a time, so that no resolver takes it for an attack
	slots, answers := make(chan struct{}, most), make(chan answer)
	for _, name := range names {
		go func() {
			slots <- struct{}{}
			addrs, err := p.lookup(ctx, name)
			<-slots
			answers <- answer{name, addrs, err}
		}()
	}
	for range names {
		a := <-answers
		if a.err != nil {
			unresolved = append(unresolved, a.name)
		} else if at := slices.IndexFunc(a.addrs, p.isInside); at >= 0 {
			inside = append(inside, fmt.Sprintf("%s is %s", a.name, a.addrs[at]))
		}
	}
	slices.Sort(unresolved)
	slices.Sort(inside)
	return unresolved, inside
}

// isInside: an address that is the router's own, or of no server on the internet.
func (p Path) isInside(a netip.Addr) bool {
	return !dataplane.GardenOpens(a) || slices.Contains(p.Router, a)
}

func (p Path) dnsName() string {
	if len(p.DNS) == 0 {
		return "of this machine"
	}
	return p.DNS[0].String()
}

func (p Path) dnsHost() string {
	if len(p.DNS) == 0 {
		return ""
	}
	return p.DNS[0].Addr().String()
}
