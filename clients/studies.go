// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/clients/announced"
	"github.com/hotspot-agent/hotspot-agent/clients/chromium"
	"github.com/hotspot-agent/hotspot-agent/clients/curl"
	"github.com/hotspot-agent/hotspot-agent/clients/dns"
	"github.com/hotspot-agent/hotspot-agent/clients/firefox"
	"github.com/hotspot-agent/hotspot-agent/clients/networkmanager"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
)

// study is one kind of client. Studies run one after another.
type study struct {
	name string
	run  func(context.Context, report.Options) ([]report.Row, error)
}

// studies is every study, in the order of a run.
var studies = []study{
	{"curl", curl.Run},
	{"dns", dns.Run},
	{"dhcp", announced.Run},
	{"networkmanager", networkmanager.Run},
	{"chromium", chromium.Run},
	{"firefox", firefox.Run},
}
