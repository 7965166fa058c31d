// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	portalURL = "http://" + lab.RouterLAN4 + "/"
	httpPort  = 80
	// crowd is as many unpaid devices as it takes that the limit of each is not what is
	// measured: together they may be redirected 34,000 times a second.
	crowd = 512
)

// subject is a way to lead devices to a portal.
type subject struct {
	name  string
	serve func(ctx context.Context, r *router) error
}

// agentSubject is the agent. Its answers need no portal.
func agentSubject(binary string) subject {
	return subject{ours, func(_ context.Context, r *router) (err error) {
		r.agent, err = harness.New(r.kiosk, binary, fmt.Sprintf("max_clients: %d", clients), "walled_garden: [\"*."+gardenDomain+"\"]", "walled_garden_speed: 0", fmt.Sprintf("captive: {redirect: %q, https: alert}", portalURL))
		if err != nil {
			return err
		}
		r.onClose(r.agent.Close)
		return r.agent.Start()
	}}
}

// router is a kiosk with one subject. Customer 1 is the crowd, and customer 2 a device of
// its own.
type router struct {
	subject string
	kiosk   *lab.Kiosk
	agent   *harness.Agent        // nil for a rival
	crowd   map[bool][]netip.Addr // by whether they are IPv6
	closers []func() error        // in the order of their making
}

func newRouter(ctx context.Context, s subject) (r *router, err error) {
	r = &router{subject: s.name}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("a router with %s: %w", s.name, err), r.close())
		}
	}()
	l, err := lab.New("hs-captive")
	if err != nil {
		return r, err
	}
	r.onClose(l.Close)
	if r.kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 2}); err != nil {
		return r, err
	}
	if err := errors.Join(r.kiosk.DefaultRoutes(), r.translate(ctx), r.gather(ctx), r.introduce(ctx)); err != nil {
		return r, err
	}
	return r, s.serve(ctx, r)
}

// translate has the router translate addresses, as routers of hotspots do: from then on it
// tracks connections.
func (r *router) translate(ctx context.Context) error {
	return run(ctx, r.kiosk.Router, "table inet translation {\n chain out {\n  type nat hook postrouting priority srcnat;\n  oifname \""+
		lab.WAN+"\" masquerade\n }\n}\n", "nft", "-f", "-")
}

// gather gives customer 1 the addresses of many devices. What it sends from each address
// has that device's MAC, and it takes what is sent to any.
func (r *router) gather(ctx context.Context) error {
	devices, err := r.kiosk.EmulateCustomers(crowd)
	if err != nil {
		return err
	}
	if err := r.kiosk.SpoofIPs(devices); err != nil {
		return err
	}
	var neighbours, addresses, by4, by6 strings.Builder
	fmt.Fprintf(&neighbours, "route add fd77:80::/64 dev %s\n", lab.Bridge)
	r.crowd = make(map[bool][]netip.Addr)
	for i, d := range devices {
		addr6 := emulated6(i)
		r.crowd[false], r.crowd[true] = append(r.crowd[false], d.Addr4), append(r.crowd[true], addr6)
		fmt.Fprintf(&neighbours, "neigh add %s lladdr %s dev %s nud permanent\n", addr6, d.MAC, lab.Bridge)
		fmt.Fprintf(&addresses, "addr add %s/128 dev %s\n", addr6, lab.Uplink)
		fmt.Fprintf(&by4, "%s : %s,", d.Addr4, d.MAC)
		fmt.Fprintf(&by6, "%s : %s,", addr6, d.MAC)
	}
	return errors.Join(
		run(ctx, r.kiosk.Router, neighbours.String(), "ip", "-6", "-batch", "-"),
		run(ctx, r.kiosk.Customers[0], addresses.String(), "ip", "-6", "-batch", "-"),
		run(ctx, r.kiosk.Customers[0], fmt.Sprintf(crowdScript, by4.String(), by6.String()), "nft", "-f", "-"),
	)
}

// introduce has the customers know their router's MAC: a table of neighbours that is full
// is a matter of the router, and in a lab of all.
func (r *router) introduce(ctx context.Context) (err error) {
	for _, c := range r.kiosk.Customers {
		for _, gateway := range []string{lab.RouterLAN4, lab.RouterLAN6} {
			err = errors.Join(err, run(ctx, c, "", "ip", "neigh", "replace", gateway, "lladdr", r.kiosk.Router.MAC.String(), "dev", lab.Uplink, "nud", "permanent"))
		}
	}
	return err
}

func emulated6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd77:80::%x", i+1)) }

const crowdScript = `table netdev crowd {
	map by4 { type ipv4_addr : ether_addr; elements = { %s } }
	map by6 { type ipv6_addr : ether_addr; elements = { %s } }
	chain out {
		type filter hook egress device "` + lab.Uplink + `" priority 0;
		ether saddr set ip saddr map @by4
		ether saddr set ip6 saddr map @by6
	}
}
`

// server is an address of the internet that devices ask for.
func (r *router) server(ipv6 bool) netip.AddrPort {
	if ipv6 {
		return netip.AddrPortFrom(r.kiosk.Server.Addr6, httpPort)
	}
	return netip.AddrPortFrom(r.kiosk.Server.Addr4, httpPort)
}

func (r *router) onClose(f func() error) { r.closers = append(r.closers, f) }

// close takes all down, what came last first.
func (r *router) close() (err error) {
	for i := len(r.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, r.closers[i]())
	}
	r.closers = nil
	return err
}

// run runs a program in a host with a script on its standard input.
func run(ctx context.Context, h *lab.Host, script, program string, args ...string) error {
	_, err := output(ctx, h, script, program, args...)
	return err
}

func output(ctx context.Context, h *lab.Host, script, program string, args ...string) (string, error) {
	const enough = 400
	cmd := h.Command(program, args...)
	cmd.Stdin = strings.NewReader(script)
	var said, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &complaint
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		text := complaint.String()
		return "", fmt.Errorf("%s: %w: %s", program, err, text[:min(len(text), enough)])
	}
	return said.String(), nil
}
