// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
)

// Garden is GET /v1/garden: the walled garden as the kernel has it.
type Garden struct {
	Networks     []string        `json:"networks"`      // open as they are
	Names        []string        `json:"names"`         // as in the configuration
	Ports        []uint16        `json:"ports"`         // of TCP and UDP, open at the addresses of names
	SpeedBPS     uint64          `json:"speed_bps"`     // of a device with these addresses, both directions together; 0: no limit
	Addresses    []GardenAddress `json:"addresses"`     // of names, open now
	MaxAddresses int             `json:"max_addresses"` // beyond, the ones unused for longest are closed
	Counts       GardenCounts    `json:"counts"`
}

// GardenAddress is an address that a name in the walled garden has, by an answer of the
// router's DNS.
type GardenAddress struct {
	Address       string `json:"address"`
	RemainingSecs int64  `json:"remaining_secs"` // until it is closed, if it is not used and not named again
	NamedSecsAgo  int64  `json:"named_secs_ago"` // the last answer with it
}

// GardenCounts are since the kernel's tables were made.
type GardenCounts struct {
	Answers   uint64 `json:"answers"`   // of the router's DNS, about names in the walled garden
	Addresses uint64 `json:"addresses"` // in these answers, and opened
	Refused   uint64 `json:"refused"`   // in these answers, and private or the router's own
	Partial   uint64 `json:"partial"`   // answers of which a part could not be read
}

// GardenTest is GET /v1/garden/{name}: whether a device that has not paid reaches a name.
type GardenTest struct {
	Name      string              `json:"name"`    // in ASCII and lower case
	Matches   bool                `json:"matches"` // it is in the walled garden
	Entry     string              `json:"entry"`   // of the configuration, by which it is; or ""
	Addresses []GardenTestAddress `json:"addresses"`
	// ResolveError says why the router found no addresses; "" when it did.
	ResolveError string `json:"resolve_error"`
}

// GardenTestAddress is an address that the name has now.
type GardenTestAddress struct {
	Address       string `json:"address"`
	Open          bool   `json:"open"`
	RemainingSecs int64  `json:"remaining_secs"` // of an address that a name opened; 0 in a network
	Why           string `json:"why"`            // one line: by what it is open, or why it is not
}

type gardenCalls struct{ agent *transport }

// Garden returns the walled garden as it is now.
func (c gardenCalls) Garden(ctx context.Context) (Garden, error) {
	return fetch[Garden](ctx, c.agent, http.MethodGet, "/v1/garden", nil)
}

// TestGarden returns whether a device that has not paid reaches a name, which the agent
// resolves. Invalid for what is no name.
func (c gardenCalls) TestGarden(ctx context.Context, name string) (GardenTest, error) {
	return fetch[GardenTest](ctx, c.agent, http.MethodGet, "/v1/garden/"+url.PathEscape(name), nil)
}
