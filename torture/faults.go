// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/torture/bypass"
	"github.com/hotspot-agent/hotspot-agent/torture/disk"
	"github.com/hotspot-agent/hotspot-agent/torture/flood"
	"github.com/hotspot-agent/hotspot-agent/torture/kill"
	"github.com/hotspot-agent/hotspot-agent/torture/load"
	"github.com/hotspot-agent/hotspot-agent/torture/netchange"
	"github.com/hotspot-agent/hotspot-agent/torture/powercut"
	"github.com/hotspot-agent/hotspot-agent/torture/provider"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
	"github.com/hotspot-agent/hotspot-agent/torture/spoof"
	"github.com/hotspot-agent/hotspot-agent/torture/upgrade"
)

// fault is one kind of failure or attack. Faults run one after another.
type fault struct {
	name string
	run  func(context.Context, report.Options) ([]report.Row, error)
}

// faults is every fault, in the order of a run.
var faults = []fault{
	{"kill", kill.Run},
	{"powercut", powercut.Run},
	{"disk", disk.Run},
	{"netchange", netchange.Run},
	{"upgrade", upgrade.Run},
	{"provider", provider.Run},
	{"load", load.Run},
	{"flood", flood.Run},
	{"bypass", bypass.Run},
	{"spoof", spoof.Run},
}
