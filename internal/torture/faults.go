// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/internal/torture/provider"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/report"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/upgrade"
)

// fault is one way to hurt the agent. Faults run one after another.
type fault struct {
	name string
	run  func(context.Context, report.Options) ([]report.Row, error)
}

// faults is every fault, in the order of a run.
var faults = []fault{
	{"upgrade", upgrade.Run},
	{"provider", provider.Run},
}
