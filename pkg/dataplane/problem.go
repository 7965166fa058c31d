// SPDX-License-Identifier: Apache-2.0

package dataplane

// Problem is something that does not work as the configuration says, now. Code, Interface
// and Subject identify it while it lasts; the others may change meanwhile.
type Problem struct {
	Code      ProblemCode
	Interface string // a client-facing one, or "" where it concerns none or all
	Subject   string // what else it is about where there may be several: a provider's name, a file; or ""
	Detail    string // one line for people: what conflicts, and what mends it
	Exposed   bool   // customers can slip through unpaid, pay for nothing, or are cut off
}

// ProblemCode is the stable label of a kind of problem, in events, metrics and the API.
type ProblemCode string

// What can be wrong with the enforcement. Other parts of the agent have codes of their own.
const (
	InterfaceAbsent   ProblemCode = "interface_absent"   // it does not exist; attached to as soon as it appears
	NotAttached       ProblemCode = "not_attached"       // the programs cannot be attached
	ProgramInFront    ProblemCode = "program_in_front"   // another program decides before ours
	ForeignCopy       ProblemCode = "foreign_copy"       // programs of another agent are on an interface of ours
	RouterAddresses   ProblemCode = "router_addresses"   // the kernel does not have the router's own ones as of now
	RouterMACsFull    ProblemCode = "router_macs_full"   // the kernel has no room for all MACs of the router: on bridge ports no frame counts as bridged
	StatisticsFailing ProblemCode = "statistics"         // the counts of frames cannot be read
	StackedInterfaces ProblemCode = "stacked_interfaces" // two named interfaces, of which one carries the other
	ForwardingOff     ProblemCode = "forwarding_off"     // the kernel does not forward between clients and uplink
	Redirected        ProblemCode = "redirected"         // frames pass the egress hook twice
	ForwardDropped    ProblemCode = "forward_dropped"    // the firewall drops what customers pay for
	BridgeNetfilter   ProblemCode = "bridge_netfilter"   // the firewall changes frames of a bridge before the hook
	GardenFull        ProblemCode = "garden_full"        // the walled garden has more addresses of names than fit
	ChecksFailing     ProblemCode = "checks_failing"     // what is beside the programs cannot be checked
)
