// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
)

// Hook is a place where nft counts.
type Hook string

// The hooks. On one device they come after the TC ingress hook, and before the TC
// egress hook, where the agent sits.
const (
	Ingress Hook = "ingress" // what comes in on a device
	Egress  Hook = "egress"  // what goes out on a device
	Forward Hook = "forward" // what the host forwards, of any device
)

const ethernetHeader = 14

// Count is a number of packets and the bytes of IP packets in them.
type Count struct {
	Packets uint64
	Bytes   uint64
}

// Add sums two counts.
func (c Count) Add(d Count) Count { return Count{c.Packets + d.Packets, c.Bytes + d.Bytes} }

// Counter counts packets in the kernel, independently of the agent.
type Counter struct {
	host  *Host
	table string // family and name
	hook  Hook
}

var tables atomic.Uint64

// Count starts counting what matches one of the nft expressions, such as
// "ip saddr 10.77.0.11", or everything where there is none. The device is ignored for Forward.
func (h *Host) Count(hook Hook, device string, matches ...string) (*Counter, error) {
	return h.count(hook, device, "continue", matches)
}

// CountAndDrop counts what comes in on a device and matches, and drops it there.
func (h *Host) CountAndDrop(device, match string) (*Counter, error) {
	return h.count(Ingress, device, "drop", []string{match})
}

// count has a verdict on what it counts.
func (h *Host) count(hook Hook, device, verdict string, matches []string) (*Counter, error) {
	family, where := "netdev", fmt.Sprintf("device %q ", device)
	if hook == Forward {
		family, where = "inet", ""
	}
	c := &Counter{host: h, hook: hook, table: fmt.Sprintf("%s count%d", family, tables.Add(1))}
	if len(matches) == 0 {
		matches = []string{""}
	}
	var rules strings.Builder
	for _, match := range matches {
		fmt.Fprintf(&rules, "    %s counter name matched %s\n", match, verdict)
	}
	script := fmt.Sprintf("table %s {\n  counter matched { }\n  chain look {\n    type filter hook %s %spriority 0; policy accept;\n%s  }\n}\n",
		c.table, hook, where, rules.String())
	return c, h.nft(script)
}

// Read returns what was counted up to now.
func (c *Counter) Read() (Count, error) {
	cmd := c.host.Command("nft", append(strings.Fields("-j list counters table"), strings.Fields(c.table)...)...)
	out, err := cmd.Output()
	if err != nil {
		return Count{}, fmt.Errorf("nft list counters on %s: %w", c.host.Name, err)
	}
	var listing struct {
		NFTables []struct {
			Counter *struct{ Packets, Bytes uint64 }
		}
	}
	if err := json.Unmarshal(out, &listing); err != nil {
		return Count{}, fmt.Errorf("nft's JSON: %w", err)
	}
	for _, object := range listing.NFTables {
		if object.Counter != nil {
			return c.ofIP(Count(*object.Counter)), nil
		}
	}
	return Count{}, fmt.Errorf("no counter in table %s of %s", c.table, c.host.Name)
}

// ofIP takes the link header off where the hook sees it.
func (c *Counter) ofIP(n Count) Count {
	if c.hook == Egress {
		n.Bytes -= n.Packets * ethernetHeader
	}
	return n
}

// Wire counts a customer's internet traffic at the far ends: what the customer's
// interface received and what the server's interface received. With OffloadsOn a
// super-packet counts as one packet; otherwise these are the wire's bytes.
type Wire struct {
	down, up *Counter
}

// Wire starts counting for customer i, counted from 0.
func (k *Kiosk) Wire(i int) (*Wire, error) { return k.wire(i, "") }

// WireWithoutResets is Wire without the TCP resets that the customer receives: at the end
// of a session they are the router's, with the server's address.
func (k *Kiosk) WireWithoutResets(i int) (*Wire, error) {
	return k.wire(i, " meta l4proto != tcp", " tcp flags & rst == 0")
}

// wire counts of what the customer receives that which matches one of the expressions.
func (k *Kiosk) wire(i int, received ...string) (*Wire, error) {
	c := k.Customers[i]
	var matches []string
	for _, match := range received {
		matches = append(matches, "ip saddr "+Server4+match, "ip6 saddr "+Server6+match)
	}
	down, err := c.Count(Ingress, Uplink, matches...)
	if err != nil {
		return nil, err
	}
	up, err := k.Server.Count(Ingress, Uplink, "ip saddr "+c.Addr4.String(), "ip6 saddr "+c.Addr6.String())
	if err != nil {
		return nil, err
	}
	return &Wire{down: down, up: up}, nil
}

// Read returns what arrived at the customer and at the server up to now.
func (w *Wire) Read() (down, up Count, err error) {
	if down, err = w.down.Read(); err != nil {
		return
	}
	up, err = w.up.Read()
	return
}

// InterfaceCount reads an interface's own counters, for an interface that carries
// no frames with VLAN tags.
func (h *Host) InterfaceCount(device string) (received, sent Count, err error) {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return received, sent, fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	s := link.Attrs().Statistics
	received = Count{s.RxPackets, s.RxBytes - s.RxPackets*ethernetHeader}
	sent = Count{s.TxPackets, s.TxBytes - s.TxPackets*ethernetHeader}
	return received, sent, nil
}

// Lost returns the frames that the interfaces of the kiosk themselves dropped:
// what stands between the agent's count and the far end's.
func (k *Kiosk) Lost() (frames uint64, err error) {
	for _, h := range append([]*Host{k.Router, k.Server}, k.Customers...) {
		links, err := h.nl.LinkList()
		if err != nil {
			return 0, err
		}
		for _, link := range links {
			if s := link.Attrs().Statistics; s != nil && link.Type() == "veth" {
				frames += s.TxDropped
			}
		}
	}
	return frames, nil
}
