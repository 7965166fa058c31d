// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Portable is a purchase as it travels from one database to another. Ids stay behind.
// What names it everywhere is the time when it was sold, to the nanosecond.
type Portable struct {
	Line     int // of the file, for messages; 0: none
	MAC      dataplane.MAC
	Hostname string
	Session  Session
	Claim    *ClaimHash // nil: it has no code, or its reader may not have it
}

// Imported is what an import did.
type Imported struct {
	Imported int // purchases that were new
	Known    int // that were here already, and stay as they are
}

// Check refuses what no agent can have sold. The MAC is left to the caller.
func (p Portable) Check() error {
	if err := CheckHostname(p.Hostname); err != nil {
		return err
	}
	s := p.Session
	switch {
	case s.Created.Before(earliestSale) || s.Created.After(latestSale):
		return Invalidf("created_at", "%s is no time of a purchase", s.Created.Format(time.RFC3339))
	case !s.Started.IsZero() && (s.Started.Before(earliestSale) || s.Started.After(latestSale)):
		return Invalidf("started_at", "%s is no time of a start", s.Started.Format(time.RFC3339))
	}
	if err := CheckReference(s.Reference); err != nil {
		return err
	}
	return CheckPurchase(s) // amounts that have no effect were sold, and stay as they are
}
