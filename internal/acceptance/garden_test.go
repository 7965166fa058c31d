// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// gardenYAML opens names. Their addresses are of a network behind the server.
const gardenYAML = `walled_garden: [pay.example, "*.bank.example"]
walled_garden_ports: [8080, 443]
walled_garden_speed: 2mbit`

// resolver is dnsmasq on a kiosk's router, with a server of the internet behind it.
type resolver struct {
	*testing.T
	kiosk *lab.Kiosk
}

// startResolver starts dnsmasq, which answers as its lines say.
func startResolver(t *testing.T, k *lab.Kiosk, lines ...string) resolver {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		if path = "/usr/sbin/dnsmasq"; os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "" {
			t.Skip("needs dnsmasq")
		}
	}
	config := filepath.Join(t.TempDir(), "dnsmasq.conf")
	text := strings.Join(append([]string{"no-resolv", "no-hosts", "no-poll", "bind-interfaces", "interface=" + lab.Bridge, "except-interface=lo", "user=root", "pid-file=", "log-facility=-"}, lines...), "\n")
	must(t, os.WriteFile(config, []byte(text+"\n"), 0o600))
	cmd := k.Router.Command(path, "--keep-in-foreground", "--conf-file="+config)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r := resolver{t, k}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := r.ask(k.Customers[len(k.Customers)-1], "udp", "ready.test", dnsmessage.TypeA); err == nil {
			return r
		} else if time.Now().After(deadline) {
			t.Fatalf("dnsmasq does not answer: %v", err)
		}
	}
}

// ask sends a question to the router and returns the answer.
func (r resolver) ask(from *lab.Host, network, name string, kind dnsmessage.Type) (dnsmessage.Message, error) {
	var answer dnsmessage.Message
	conn, err := from.Dial(context.Background(), network, net.JoinHostPort(lab.RouterLAN4, "53"))
	if err != nil {
		return answer, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}}}
	packed, err := question.Pack()
	if err != nil {
		return answer, err
	}
	buffer := make([]byte, 1<<16)
	if network == "tcp" {
		packed = append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)
	}
	if _, err := conn.Write(packed); err != nil {
		return answer, err
	}
	n := 0
	for {
		got, err := conn.Read(buffer[n:])
		if err != nil {
			return answer, err
		}
		if n += got; network == "udp" {
			return answer, answer.Unpack(buffer[:n])
		}
		if n > 2 && n == 2+int(buffer[0])<<8+int(buffer[1]) {
			return answer, answer.Unpack(buffer[2:n])
		}
	}
}

// resolve asks for an address, which has to come.
func (r resolver) resolve(from *lab.Host, network, name string) {
	r.Helper()
	if answer, err := r.ask(from, network, name, dnsmessage.TypeA); err != nil || len(answer.Answers) == 0 {
		r.Errorf("%s by %s: %v, %d records", name, network, err, len(answer.Answers))
	}
}

// reaches reports whether a customer gets data from a server's port at once: a lost SYN
// costs a second.
func reaches(from *lab.Host, to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to.String())
	if err != nil {
		return false
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	return true
}

// gardenAddrs gives the server addresses of a network that the names have.
func gardenAddrs(t *testing.T, k *lab.Kiosk) {
	t.Helper()
	out, err := k.Router.Command("ip", "route", "add", "198.51.100.0/24", "via", lab.Server4).CombinedOutput()
	if err == nil {
		out, err = k.Server.Command("ip", "route", "add", "local", "198.51.100.0/24", "dev", "lo").CombinedOutput()
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestGarden: names open before a device has their address, whichever device asked, by UDP and TCP,
// and while the agent is dead; and nothing else does.
func TestGarden(t *testing.T) {
	for name, place := range map[string]struct {
		prepare func(*lab.Kiosk) error
		config  []string
	}{
		"bridge":           {(*lab.Kiosk).DefaultRoutes, []string{"interfaces: [br-lan]"}},
		"clsact, answered": {(*lab.Kiosk).DefaultRoutes, []string{"interfaces: [br-lan]", "attach: clsact", captiveYAML}},
		"ports":            {(*lab.Kiosk).DefaultRoutes, []string{"interfaces: [lan1, lan2]"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKiosk(t, lab.KioskConfig{Customers: 2})
			must(t, place.prepare(k))
			gardenAddrs(t, k)
			s := openIn(t, k, append(place.config, gardenYAML)...)
			r := startResolver(t, k, "host-record=pay.example,198.51.100.1", "cname=www.bank.example,edge.test", "host-record=edge.test,198.51.100.2",
				"host-record=bank.example,198.51.100.3", "host-record=other.test,198.51.100.4", "host-record=notbank.example,198.51.100.5",
				"host-record=private.bank.example,"+lab.RouterWAN4, "host-record=lan.bank.example,10.9.9.9", "host-record=late.bank.example,198.51.100.7",
				"host-record=ready.test,198.51.100.99")
			phone, paid := k.Customers[0], k.Customers[1]
			s.sell(1, "--type", "time", "--time", "1h")
			at := func(host string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(host), bulkPort) }
			if reaches(phone, at("198.51.100.1")) {
				t.Error("an address is open before its name was resolved")
			}
			r.resolve(phone, "udp", "PAY.example")
			r.resolve(phone, "tcp", "www.bank.example")
			r.resolve(paid, "udp", "bank.example")
			for _, name := range []string{"other.test", "notbank.example", "private.bank.example", "lan.bank.example"} {
				r.resolve(phone, "udp", name)
			}
			for host, want := range map[string]bool{"198.51.100.1": true, "198.51.100.2": true, "198.51.100.3": true, "198.51.100.4": false, "198.51.100.5": false, lab.RouterWAN4: false} {
				if got := reaches(phone, at(host)); got != want {
					t.Errorf("%s is reached: %t, want %t", host, got, want)
				}
			}
			if reaches(phone, netip.MustParseAddrPort("198.51.100.1:8081")) {
				t.Error("another port is open")
			}
			listed := s.garden()
			if got := strings.Join(listed.open(), " "); got != "198.51.100.1 198.51.100.2 198.51.100.3" || listed.Counts.Refused != 2 {
				t.Errorf("listed as open: %s; %+v", got, listed)
			}
			heldTo(t, phone, at("198.51.100.1"), 2_000_000)
			time.Sleep(time.Second) // the device's bucket is empty again
			must(t, s.agent.Kill())
			r.resolve(phone, "udp", "late.bank.example")
			if !reaches(phone, at("198.51.100.7")) {
				t.Error("a name resolved while the agent is dead is not open")
			}
			must(t, s.agent.Start())
			if !reaches(phone, at("198.51.100.7")) {
				t.Error("a name resolved while the agent was dead is not open after its start")
			}
		})
	}
}

// heldTo downloads for some seconds: 64 KB at once, then at a speed, with the headers.
func heldTo(t *testing.T, from *lab.Host, to netip.AddrPort, bitsPerSecond int) {
	t.Helper()
	const seconds = 3
	began := time.Now()
	download, err := from.Download(to, 1)
	must(t, err)
	time.Sleep(seconds * time.Second)
	download.Stop()
	bytes := int(download.Bytes())
	most := 64_000 + int(time.Since(began).Seconds()*float64(bitsPerSecond)/8)
	if bytes < most/4 || bytes > most {
		t.Errorf("%d bytes in %v, at most %d are due", bytes, time.Since(began), most)
	}
}

type gardenListed struct {
	Addresses []struct {
		Address       string
		RemainingSecs int `json:"remaining_secs"`
	}
	Counts struct{ Answers, Addresses, Refused, Partial int }
}

func (g gardenListed) open() (list []string) {
	for _, a := range g.Addresses {
		list = append(list, a.Address)
	}
	return list
}

func (s *shop) garden() (g gardenListed) {
	s.Helper()
	out, err := s.agent.Run("--json", "garden", "list")
	must(s.T, err)
	must(s.T, json.Unmarshal([]byte(out), &g))
	return g
}

// TestGardenRace: a device connects as soon as it has the answer. Not one first SYN is lost.
func TestGardenRace(t *testing.T) {
	k := newKiosk(t, lab.KioskConfig{Customers: 1})
	must(t, k.DefaultRoutes())
	gardenAddrs(t, k)
	var lines []string
	const names = 2000
	for i := range names {
		lines = append(lines, fmt.Sprintf("host-record=n%d.bank.example,198.51.%d.%d", i, 101+i/250, 1+i%250))
	}
	for _, command := range [][]string{{"ip", "route", "add", "198.51.0.0/16", "via", lab.Server4}} {
		out, err := k.Router.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	out, err := k.Server.Command("ip", "route", "add", "local", "198.51.0.0/16", "dev", "lo").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := openIn(t, k, gardenYAML, captiveYAML)
	r := startResolver(t, k, append(lines, "host-record=ready.test,198.51.100.99")...)
	phone := k.Customers[0]
	lost := 0
	for i := range names {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(101 + i/250), byte(1 + i%250)}), bulkPort)
		for {
			if _, err = r.ask(phone, "udp", fmt.Sprintf("n%d.bank.example", i), dnsmessage.TypeA); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond) // DNS before paying has a speed
		}
		conn, err := phone.Dial(t.Context(), "tcp", addr.String())
		if err != nil {
			lost++
			continue
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	t.Logf("%d of %d first SYNs lost", lost, names)
	if lost > 0 {
		t.Errorf("%d of %d first SYNs after the answer were lost", lost, names)
	}
	if g := s.garden(); len(g.Addresses) != names || g.Counts.Partial != 0 {
		t.Errorf("%d addresses are open; %+v", len(g.Addresses), g.Counts)
	}
}
