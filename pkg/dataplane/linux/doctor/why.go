// SPDX-License-Identifier: Apache-2.0

package doctor

import "strings"

// reasons say why each check matters, by its name without the interface.
var reasons = map[string]string{
	"options":          "the agent does not start with them",
	"kernel":           "without these features nothing can be enforced",
	"jit":              "each packet of a customer passes the programs",
	"bpffs":            "what is pinned there is enforced on while the agent restarts",
	"hooks":            "the programs run there, on each frame",
	"clock":            "sessions expire by it",
	"rtc":              "sessions expire by the wall clock",
	"network":          "interfaces, hooks and firewall are read by it",
	"tables":           "they hold the rules and counts of customers",
	"interface":        "customers are distinguished by the MACs on it",
	"VLANs":            "an uplink may share the cable with the customers; customers in such a VLAN would pass for nothing",
	"link control":     "devices that have not paid can send it",
	"programs":         "what they do not see is neither counted nor stopped",
	"learning":         "made-up MACs take memory of the kernel",
	"forged addresses": "before paying, a device could talk to the router under any address",
	"neighbour tables": "when they are full, customers lose packets",
	"flow offload":     "connections that skip the hooks are free, and are not cut off",
	"hardware":         "what the hardware forwards is neither counted nor stopped",
	"stacking":         "what passes two hooks is debited twice",
	"redirects":        "what passes a hook twice is debited twice",
	"IPv4 forwarding":  "without it customers pay for nothing",
	"IPv6 forwarding":  "without it devices with IPv6 wait before they fall back to IPv4",
	"firewall":         "what it drops, customers pay for",
	"bridge netfilter": "the programs decide by the addresses that the client sent",
	"forwarding":       "without it customers pay for nothing",

	"address translation": "without it the internet has no way back to private addresses",
	"DHCP":                "devices get their addresses from it",
	"DNS":                 "devices find the portal by it",
	"portal":              "customers buy there",
}

// Why says why a check matters.
func (f Finding) Why() string {
	if why := reasons[f.Check]; why != "" {
		return why
	}
	at := strings.LastIndexByte(f.Check, ' ')
	return reasons[f.Check[:max(at, 0)]]
}
