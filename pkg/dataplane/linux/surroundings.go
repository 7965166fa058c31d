// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/forwarding"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// surroundings watches what else on the machine decides whether packets of customers pass.
type surroundings struct {
	changes *forwarding.Changes // for the goroutine that looks
	due     chan struct{}       // holds one while something may have changed
	failed  atomic.Bool         // the last check, which is then repeated

	// For one goroutine at a time, which checks.
	checker forwarding.Checker
	state   *state
	maps    *pins.Maps
	portals []dataplane.Portal // of the options
	changed func()             // requests that the router's own addresses are written anew
	behind  []nft.Target
}

// look has all checked when something may have changed, or the last check failed. It does
// not wait for the check: to read a large firewall takes long.
func (s *surroundings) look() {
	if some := s.changes.Any(s.state.currentLinks()); !some && !s.failed.Load() {
		return
	}
	select {
	case s.due <- struct{}{}:
	default:
	}
}

func (s *surroundings) run(closing <-chan struct{}) {
	for {
		select {
		case <-closing:
			return
		case <-s.due:
			s.check()
		}
	}
}

func (s *surroundings) check() {
	results, err := s.checker.Check(s.state.currentLinks())
	problems := forwarding.Problems(results)
	if err != nil {
		problems = append(problems, dataplane.Problem{Code: dataplane.ChecksFailing, Detail: "checking what is beside the programs: " + err.Error()})
	}
	s.failed.Store(err != nil)
	if err := s.follow(); err != nil {
		s.failed.Store(true)
		problems = append(problems, dataplane.Problem{Code: dataplane.ChecksFailing, Detail: "portals behind a translation: " + err.Error()})
	}
	s.state.setProblems(bySurroundings, problems...)
}

// follow has the programs know where the firewall sends packets before they see them:
// hosts beside the router are as good as the router, and what a portal's port is translated
// to is the portal.
func (s *surroundings) follow() error {
	behind, err := s.checker.Behind(s.state.currentLinks())
	if err != nil || slices.Equal(behind, s.behind) {
		return err
	}
	var addrs []netip.Addr
	for _, t := range behind {
		if t.Addr.IsValid() {
			addrs = append(addrs, t.Addr)
		}
	}
	if err := writePortals(s.maps, slices.Concat(s.portals, translatedPortals(s.portals, behind))); err != nil {
		return err
	}
	s.behind = behind
	s.state.setBehind(addrs)
	s.changed()
	return nil
}

// translatedPortals are those that portals of the router become.
func translatedPortals(portals []dataplane.Portal, behind []nft.Target) (list []dataplane.Portal) {
	numbers := map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}
	for _, p := range portals {
		for _, t := range behind {
			if !p.Addr.IsValid() && t.Matched == p.Port && (t.Protocol == 0 || t.Protocol == numbers[p.Protocol]) {
				list = append(list, dataplane.Portal{Addr: t.Addr, Port: cmp.Or(t.Port, p.Port), Protocol: p.Protocol})
			}
		}
	}
	return list
}
