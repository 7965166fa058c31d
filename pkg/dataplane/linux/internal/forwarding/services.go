// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
)

// Services checks what customers need beside the agent. Any of it may be elsewhere, so that
// none is a problem of the running agent. Check comes before it.
func (c *Checker) Services(v *links.Snapshot, portals []dataplane.Portal) ([]Result, error) {
	if len(c.withAddress(v, families[0])) == 0 || c.fw.rules == nil {
		return nil, nil // a bridge that only switches serves nothing
	}
	open, err := c.listening()
	if err != nil {
		return nil, err
	}
	results := []Result{
		c.translated(),
		served(open, "DHCP", socket{"udp", 67}, "fine where another server of their network gives addresses", "service dnsmasq start"),
		served(open, "DNS", socket{"udp", 53}, "before paying, a device can ask the router alone", "service dnsmasq start"),
	}
	redirected, err := c.Behind(v)
	for _, p := range portals {
		if p.Addr.IsValid() || slices.ContainsFunc(redirected, func(t nft.Target) bool { return t.Matched == p.Port }) {
			continue
		}
		results = append(results, served(open, fmt.Sprintf("portal %d", p.Port), socket{p.Protocol, p.Port},
			"fine where the firewall sends it to a server; else customers cannot buy", fmt.Sprintf("ss -lnp sport = :%d", p.Port)))
	}
	return results, err
}

// socket is what something listens on.
type socket struct {
	protocol string
	port     uint16
}

func served(open map[socket]bool, name string, s socket, unless, mend string) Result {
	r := Result{Check: name, Fine: fmt.Sprintf("something listens on %s port %d", s.protocol, s.port)}
	if !open[s] {
		r.Found = []Finding{{
			Problem: dataplane.Problem{Detail: fmt.Sprintf("nothing on the router listens on %s port %d: %s", s.protocol, s.port, unless)},
			Mend:    mend, Note: true,
		}}
	}
	return r
}

// translated checks that the addresses of customers are translated. Those of
// iptables-legacy are not seen.
func (c *Checker) translated() Result {
	r := Result{Check: "address translation", Fine: "the firewall translates the sources of packets"}
	if sources, _ := c.fw.rules.Translates(nft.FamilyIPv4); !sources {
		r.Found = []Finding{{
			Problem: dataplane.Problem{Detail: "no rule of nft translates sources (masquerade): fine where the next router has a route to the customers; else nothing comes back"},
			Mend:    `nft 'add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post oifname "UPLINK" masquerade'`, Note: true,
		}}
	}
	return r
}

// listening reads the sockets of the namespace that wait for clients (proc(5)).
func (c *Checker) listening() (open map[socket]bool, err error) {
	const unconnected, listens = "07", "0A" // TCP_CLOSE, TCP_LISTEN
	open = make(map[socket]bool)
	err = c.NS.Run(func() error {
		for file, state := range map[string]string{"udp": unconnected, "udp6": unconnected, "tcp": listens, "tcp6": listens} {
			text, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			for line := range strings.Lines(string(text)) {
				if port, is := parseSocket(line, state); is {
					open[socket{strings.TrimSuffix(file, "6"), port}] = true
				}
			}
		}
		return nil
	})
	return open, err
}

// parseSocket reads a line of /proc/net/tcp and its like: number, address:port, peer, state.
func parseSocket(line, state string) (port uint16, is bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[3] != state {
		return 0, false
	}
	_, text, _ := strings.Cut(fields[1], ":")
	number, err := strconv.ParseUint(text, 16, 16)
	return uint16(number), err == nil
}
