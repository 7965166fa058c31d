// SPDX-License-Identifier: Apache-2.0

// Package kiosk is what all clients meet: a router with the agent, DNS, DHCP, router
// advertisements and a portal, and behind it an internet of one server that has every name.
package kiosk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/clients/debian"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	// Portal is the page that devices are led to.
	Portal = "http://" + portalHost + "/"
	// CaptiveAPI is what is announced (RFC 8910).
	CaptiveAPI = "https://" + portalHost + "/v1/captive"
	// Resolver is a resolver on the internet, for clients with one of their own.
	Resolver = "8.8.8.8"

	// AuthorityFile is a file of the customer's machine.
	AuthorityFile = "/etc/kiosk/authority.pem"

	portalHost = "portal.kiosk.example"
)

// Kiosk is a hotspot with one customer, whose machine the client is.
type Kiosk struct {
	*lab.Kiosk
	Agent  *harness.Agent  // nil where a rival is in its place
	Client *debian.Machine // the customer's
	// Authority has signed the certificate of the server on the internet, for every name in
	// Domain. As PEM; the customer's machine has it in AuthorityFile.
	Authority []byte

	keyHash [sha256.Size]byte // of the server's public key
	router  *debian.Machine
	options report.Options
	closers []func() error
}

// Open builds the kiosk and starts the agent with lines of configuration beside the portal's.
// The caller closes it.
func Open(ctx context.Context, o report.Options, config ...string) (*Kiosk, error) {
	k, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(config, func(line string) bool { return strings.HasPrefix(line, "captive:") }) {
		config = append(config, `captive: {redirect: "`+Portal+`"}`)
	}
	if k.Agent, err = harness.New(k.Kiosk, o.Agent, config...); err == nil {
		k.OnClose(k.Agent.Close)
		err = k.Agent.Start()
	}
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// New is Open without an agent: all devices pass.
func New(ctx context.Context, o report.Options) (k *Kiosk, err error) {
	k = &Kiosk{options: o}
	defer func() {
		if err != nil {
			k, err = nil, errors.Join(err, k.Close())
		}
	}()
	l, err := lab.New("hs-clients")
	if err != nil {
		return k, err
	}
	k.OnClose(l.Close)
	if k.Kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 1}); err != nil {
		return k, err
	}
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return k.DefaultRoutes() },
		k.addInternet,
		k.addRouter,
		k.addClient,
	} {
		if err := step(ctx); err != nil {
			return k, fmt.Errorf("build the kiosk: %w", err)
		}
	}
	return k, nil
}

// boot adds a machine.
func (k *Kiosk) boot(h *lab.Host) (*debian.Machine, error) {
	m, err := debian.Boot(h, k.options.Root)
	if err == nil {
		k.OnClose(m.Close)
	}
	return m, err
}

func (k *Kiosk) addClient(ctx context.Context) (err error) {
	if k.Client, err = k.boot(k.Customers[0]); err != nil {
		return err
	}
	return errors.Join(
		k.Client.Write(ctx, "/etc/resolv.conf", "nameserver "+lab.RouterLAN4+"\n"),
		k.Client.Write(ctx, AuthorityFile, string(k.Authority)))
}

// ForgetAddresses takes its addresses from the customer, for clients of DHCP.
func (k *Kiosk) ForgetAddresses(ctx context.Context) error {
	_, err := k.Client.Run(ctx, "ip", "address", "flush", "dev", lab.Uplink, "scope", "global")
	return err
}

func (k *Kiosk) addRouter(ctx context.Context) (err error) {
	if k.router, err = k.boot(k.Router); err != nil {
		return err
	}
	portal := func(w http.ResponseWriter, _ *http.Request) { page(w, "Portal") }
	if err := k.serve(k.Router, "[::]:80", http.HandlerFunc(portal)); err != nil {
		return err
	}
	dns, err := k.router.Start("dnsmasq", "--keep-in-foreground", "--user=root", "--pid-file=", "--log-facility=-", "--no-hosts", "--no-resolv",
		"--server="+lab.Server4, "--address=/"+portalHost+"/"+lab.RouterLAN4, "--address=/"+portalHost+"/"+lab.RouterLAN6,
		"--interface="+lab.Bridge, "--no-ping", "--dhcp-range=10.77.0.100,10.77.0.199,1h", "--dhcp-option=114,"+CaptiveAPI)
	if err != nil {
		return err
	}
	return listening(ctx, k.Router, dns, lab.RouterLAN4+":53")
}

// Advertise sends router advertisements with the API's address.
func (k *Kiosk) Advertise(ctx context.Context) error {
	const config = "interface " + lab.Bridge + ` {
	AdvSendAdvert on;
	MaxRtrAdvInterval 4;
	MinRtrAdvInterval 3;
	AdvCaptivePortalAPI "` + CaptiveAPI + `";
	prefix fd77::/64 { };
};
`
	if err := k.router.Write(ctx, "/etc/radvd.conf", config); err != nil {
		return err
	}
	radvd, err := k.router.Start("radvd", "--nodaemon", "--logmethod=stderr", "--config=/etc/radvd.conf", "--pidfile=/run/radvd.pid")
	if err != nil {
		return err
	}
	return radvd.Check()
}

// listening waits until a daemon accepts a connection in its host.
func listening(ctx context.Context, h *lab.Host, d *debian.Daemon, address string) error {
	return wait.Until(ctx, address+" is listened on", func() (bool, error) {
		conn, err := h.Dial(ctx, "tcp", address)
		if err != nil {
			return false, d.Check()
		}
		return true, conn.Close()
	})
}

// OnClose adds a function that Close calls, the last one first.
func (k *Kiosk) OnClose(f func() error) { k.closers = append(k.closers, f) }

// Close removes everything.
func (k *Kiosk) Close() (err error) {
	for _, f := range slices.Backward(k.closers) {
		err = errors.Join(err, f())
	}
	k.closers = nil
	return err
}
