// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"net/netip"
)

// The bounds of a speed other than 0 (no limit). Below the lower one the charge
// of a super-packet would overflow 64 bits; above the upper one the rounding of
// the charge of a byte would show.
const (
	MinBPS uint64 = 1_000           // 1 kbit/s
	MaxBPS uint64 = 100_000_000_000 // 100 Gbit/s
)

// Limiter names how speeds are held.
type Limiter string

// The limiters.
const (
	// Bucket holds the speed of each direction, whatever flows there are in it.
	Bucket Limiter = "bucket"
	// Fair does the same, and shares the speed evenly among the flows of a client.
	Fair Limiter = "fair"
)

// AttachMode is how programs are attached.
type AttachMode string

// The modes.
const (
	Auto   AttachMode = "auto"   // TCX where the kernel has it, else Clsact
	TCX    AttachMode = "tcx"    // links, kernel >= 6.6
	Clsact AttachMode = "clsact" // a filter on the clsact qdisc
)

// Uplink is a total that all clients together are held to, in bit/s of IP packets;
// 0 is no total. They share it by need: a client that wants less than an even share gets
// all it wants, the others get even shares of the rest (max-min fairness, Bertsekas
// and Gallager, Data Networks, 6.5.2). A client's own speed stays its ceiling.
type Uplink struct {
	DownBPS uint64 // towards the clients
	UpBPS   uint64 // from the clients
}

// Portal is one service that every device may reach before it pays.
type Portal struct {
	Addr     netip.Addr // the zero Addr stands for the router's own addresses
	Port     uint16
	Protocol string // "tcp" or "udp"
}

// Check returns an error that names the value which is not allowed.
func (p Portal) Check() error {
	if p.Port == 0 {
		return fmt.Errorf("portal port %d: want 1 to 65535", p.Port)
	}
	if p.Protocol != "tcp" && p.Protocol != "udp" {
		return fmt.Errorf("portal protocol %q: want tcp or udp", p.Protocol)
	}
	return nil
}
