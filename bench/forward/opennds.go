// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// openNDSSubject is the real openNDS with authenticated clients. To log one in takes
// it a third of a second, and every client is one more rule on the way of all packets.
//
// Its clients have quotas but no speed: of those that have one it drops what is
// beyond 5,000 packets a second, whatever the speed is.
var openNDSSubject = subject{name: "opennds", most: 100, foreign: true, enforce: func(ctx context.Context, r *router) error {
	// Without a way to the internet it gives up after a minute.
	if err := r.feed(ctx, "route add default via "+lab.Server4+"\n", "ip", "-batch", "-"); err != nil {
		return err
	}
	nds, err := startOpenNDS(r)
	if err != nil {
		return err
	}
	if err := r.kiosk.SpoofIPs(r.emulated()); err != nil {
		return err
	}
	if err := nds.await(ctx); err != nil {
		return fmt.Errorf("%w: %s", err, nds.said())
	}
	for _, m := range r.customers {
		if err := nds.logIn(ctx, m); err != nil {
			return fmt.Errorf("%w: %s", err, nds.said())
		}
	}
	return nil
}}

const (
	openNDSPort    = 2050
	openNDSStart   = 60 * time.Second
	openNDSStop    = 10 * time.Second
	openNDSQuotaKB = quotaBytes / 1000 / 1000 // it counts in 32 bits
	openNDSConfig  = `GatewayInterface ` + lab.Bridge + `
GatewayName kiosk
MaxClients 10000
login_option_enabled 1
use_outdated_mhd 1
FirewallRuleSet authenticated-users {
  FirewallRule allow all
}
FirewallRuleSet users-to-router {
  FirewallRule allow udp port 53
  FirewallRule allow udp port 67
}
`
	// openNDSScript hides from openNDS what is the machine's: it would write into /etc,
	// and restart services. Its own rules for nftables and those that it has iptables
	// write refuse each other on recent kernels: it gets the iptables of old, which it
	// knows as well.
	openNDSScript = `set -e
exec 3<"$1/config" 4<"$1/leases" >"$1/log" 2>&1 </dev/null
mount --make-rprivate /
mount --bind /etc /etc
mount -o remount,bind,ro /etc
mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi
mount -t tmpfs none /run
mount -t tmpfs none /tmp
cat <&3 >/tmp/opennds.conf
cat <&4 >/tmp/dhcp.leases
exec opennds -f -d 1 -c /tmp/opennds.conf
`
)

// openNDS is a daemon in a router, in a mount namespace of its own.
type openNDS struct {
	router *router
	dir    string
	pid    int
	ended  chan struct{}
}

func startOpenNDS(r *router) (*openNDS, error) {
	dir, err := os.MkdirTemp("", "hs-opennds-")
	if err != nil {
		return nil, err
	}
	r.onClose(func() error { return os.RemoveAll(dir) })
	var leases strings.Builder // it serves only those that DHCP knows
	for _, m := range r.customers {
		fmt.Fprintf(&leases, "4000000000 %s %s customer *\n", m.MAC, m.Addr4)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "config"), []byte(openNDSConfig), 0o600),
		os.WriteFile(filepath.Join(dir, "leases"), []byte(leases.String()), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cmd := r.kiosk.Router.Command("unshare", "--mount", "sh", "-c", openNDSScript, "sh", dir)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	nds := &openNDS{router: r, dir: dir, pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() { defer close(nds.ended); _ = cmd.Wait() }()
	r.onClose(nds.stop)
	return nds, nil
}

func (n *openNDS) stop() error {
	_ = syscall.Kill(n.pid, syscall.SIGTERM) // it may have ended
	select {
	case <-n.ended:
	case <-time.After(openNDSStop):
		_ = syscall.Kill(n.pid, syscall.SIGKILL)
		<-n.ended
	}
	return nil
}

// said is the end of its log.
func (n *openNDS) said() string {
	const enough = 600
	text, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	return string(text[max(0, len(text)-enough):])
}

// ctl calls ndsctl, and fails where the answer does not hold the text.
func (n *openNDS) ctl(ctx context.Context, want string, args ...string) error {
	cmd := n.router.kiosk.Router.Command("nsenter", append([]string{"--mount", "--target", strconv.Itoa(n.pid), "ndsctl"}, args...)...)
	out, err := cmd.Output()
	if err == nil && !strings.Contains(string(out), want) {
		err = fmt.Errorf("no %q in its answer", want)
	}
	if err != nil {
		return fmt.Errorf("ndsctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return ctx.Err()
}

// await waits until the daemon answers.
func (n *openNDS) await(ctx context.Context) error {
	const look = 100 * time.Millisecond
	for deadline := time.Now().Add(openNDSStart); ; {
		err := n.ctl(ctx, "client_list_length", "json")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ended:
			return errors.New("openNDS ended")
		case <-time.After(look):
		}
	}
}

// logIn has a customer open the portal, which makes it a client, and lets it in.
func (n *openNDS) logIn(ctx context.Context, m lab.EmulatedCustomer) error {
	portal := fmt.Sprintf("%s:%d", lab.RouterLAN4, openNDSPort)
	conn, err := n.router.kiosk.DialAs(ctx, m, portal)
	if err != nil {
		return fmt.Errorf("openNDS's portal: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(openNDSStart))
	_, err = fmt.Fprintf(conn, "GET /login HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", portal)
	if err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	if err != nil {
		return fmt.Errorf("openNDS's portal: %w", err)
	}
	quota := strconv.Itoa(openNDSQuotaKB)
	return n.ctl(ctx, " authenticated", "auth", m.Addr4.String(), "1440", "0", "0", quota, quota)
}
