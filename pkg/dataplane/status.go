// SPDX-License-Identifier: Apache-2.0

package dataplane

import "time"

// Status is the enforcement as it is now.
type Status struct {
	Kernel     string // release
	Epoch      uint64
	Limiter    Limiter
	Healthy    bool // every named interface is attached and nothing else is wrong
	Problems   []Problem
	Interfaces []Interface // in the order of the options
	Traffic    []Traffic   // by direction and reason, zero ones too
	Clients    int         // rules in the kernel
	MaxClients int         // and how many it can hold
	Garden     GardenCounts
}

// Traffic counts what the programs did with frames for one reason since the maps
// were made.
type Traffic struct {
	Direction string // "upload" or "download"
	Reason    string // stable label, "pass_...", "drop_..." or "answer_..."
	Frames    uint64 // as the hook sees them: a super-packet is one
	Bytes     uint64 // wire bytes of IP packets
}

// Interface is the state of one client-facing interface.
type Interface struct {
	Name     string
	Index    int         // 0 while it does not exist
	Attached bool        // both programs are on it, each before all others
	Mode     AttachMode  // how
	Port     bool        // a bridge port: only frames from or to the router itself are metered
	Since    Boottime    // when this process attached, or found the programs attached; 0 while they are not
	Problem  string      // why it is not attached; "" when it is
	Code     ProblemCode // of Problem, where it is not that of NotAttached or InterfaceAbsent
	// UnprotectedFor is how long in all the interface was up and not Attached while
	// this process watched it. Traffic of that time may be neither counted nor stopped.
	UnprotectedFor time.Duration
}

// Unprotected reports that a client-facing interface is up without our programs before all
// others, or that this ended.
type Unprotected struct {
	Interface string
	Cause     string        // one line for people, of a beginning
	Over      bool          // it is protected again, gone, or down
	Lasted    time.Duration // when it is over
}

// Retired is what the maps of another version had counted when new ones took their place.
type Retired struct {
	Epoch uint64
	Until Boottime           // nothing was counted later
	Spent map[Account]uint64 // wire bytes, both directions
}
