// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// state is what the watch found last, for readers. Its lock is held for copies
// alone, never over a call of the kernel.
type state struct {
	mu         sync.Mutex
	links      *links.Snapshot
	interfaces []dataplane.Interface
	problems   [parts][]dataplane.Problem
	behind     []netip.Addr // hosts that the firewall sends packets for the router to
	checked    chan<- struct{}
}

// signal reports that the problems may have changed.
func (s *state) signal() {
	select {
	case s.checked <- struct{}{}:
	default:
	}
}

func (s *state) setBehind(addrs []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = addrs
}

func (s *state) currentBehind() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

func (s *state) currentLinks() *links.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links
}

func (s *state) setLinks(l *links.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = l
}

func (s *state) setInterfaces(list []dataplane.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interfaces = list
}

// part is what a problem in the state was found by: each replaces its own.
type part int

// The parts that find problems, beside the interfaces of the state.
const (
	byHooks        part = iota // what else is on the hooks of interfaces
	byRouter                   // the router's own addresses
	byStatistics               // the last reading of the statistics
	byGarden                   // addresses of names in the walled garden
	bySurroundings             // what is beside the programs
	parts
)

// setProblems replaces what a part found, and returns whether that is another finding.
func (s *state) setProblems(by part, found ...dataplane.Problem) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if changed = !slices.Equal(found, s.problems[by]); changed {
		s.problems[by] = found
		s.signal()
	}
	return changed
}

// found returns copies of what was found last; interfaces that lack the programs are among
// the problems.
func (s *state) found() (list []dataplane.Interface, problems []dataplane.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	problems = slices.Concat(s.problems[:]...)
	for _, i := range s.interfaces {
		if i.Problem != "" {
			problems = append(problems, notAttached(i))
		}
	}
	return slices.Clone(s.interfaces), problems
}

// notAttached is the problem of an interface that lacks the programs. Nothing passes one
// that does not exist.
func notAttached(i dataplane.Interface) dataplane.Problem {
	p := dataplane.Problem{Code: dataplane.NotAttached, Interface: i.Name, Detail: fmt.Sprintf("interface %s: %s", i.Name, i.Problem), Exposed: true}
	if i.Code != "" {
		p.Code = i.Code
	}
	if i.Index == 0 {
		p.Code, p.Exposed = dataplane.InterfaceAbsent, false
	}
	return p
}
