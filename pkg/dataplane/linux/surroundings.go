// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/forwarding"
)

// surroundingsEvery bounds how long a change of settings, firewall or filters is not seen:
// the kernel notifies of some of them only.
const surroundingsEvery = time.Second

// surroundings watches what else on the machine decides whether packets of customers pass.
// One goroutine at a time uses it.
type surroundings struct {
	checker forwarding.Checker
	state   *state
}

func (s *surroundings) run(closing <-chan struct{}) {
	ticker := time.NewTicker(surroundingsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-closing:
			return
		case <-ticker.C:
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
	s.state.setProblems(bySurroundings, problems...)
}
