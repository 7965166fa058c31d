// SPDX-License-Identifier: Apache-2.0

package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

var asValues = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// The example has every key at its default.
func TestExampleIsTheDefault(t *testing.T) {
	path := filepath.Join("..", "..", "config.example.yaml")
	got, err := Load(path, Default())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, asValues...); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if !strings.Contains(string(text), "\n"+k.Name+": ") {
			t.Errorf("the example does not show %s", k.Name)
		}
	}
}

func TestEmptyIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "null\n", "{}\n", "log:\nmetrics:\ntrusted:\n"} {
		got, err := parse("c", []byte(text), Default())
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(Default(), got, asValues...); diff != "" {
			t.Errorf("%q (-default +got):\n%s", text, diff)
		}
	}
}

func TestEverything(t *testing.T) {
	got, err := parse("c", []byte(`
interfaces:
  - wlan0
  - eth1.20
state_dir: /data//hotspot/
socket: /tmp/a.sock
socket_group: www-data
viewer_group: adm
bpffs: /run/bpf/x
max_clients: 100
global_speed:
  down_mbps: 5
  up_mbps: 0.512
checkpoint: 1m
low_balance_percent: 0
on_stop: disconnect
after_reboot: resume
idle_timeout: 5m
forget_devices: 7d
keep_sessions: 0
bind: port
trusted: [020000000001, 02-00-00-00-00-02, "0200.0000.0003"]
blocked: [02:00:00:00:00:0A]
attach: clsact
limiter: bucket
tcp_window_clamp: false
uplink: {down_mbps: 100, up_mbps: 20.5}
walled_garden: [203.0.113.0/24, 2001:db8::/32, 198.51.100.7, Pay.Example., "*.bank.example"]
walled_garden_ports: [443, 8443]
walled_garden_speed: 512k
portal: [":8080", "10.0.0.1:443", "[fd00::1]:80"]
captive: {redirect: "https://10.0.0.1/shop?x=1", https: alert, udp: drop, ended_quiet: 2m, api: "https://portal.example/captive"}
log: {level: debug, format: json}
metrics: {listen: "127.0.0.1:9273"}
`), Default())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Interfaces: []string{"wlan0", "eth1.20"}, StateDir: "/data/hotspot", Socket: "/tmp/a.sock", SocketGroup: "www-data", ViewerGroup: "adm",
		BPFFS: "/run/bpf/x", MaxClients: 100, GlobalDownBPS: 5_000_000, GlobalUpBPS: 512_000, Checkpoint: time.Minute,
		OnStop: StopDisconnect, AfterReboot: RebootResume, IdleTimeout: 5 * time.Minute, ForgetDevices: 7 * 24 * time.Hour,
		Bind:    sessions.BindPort,
		Trusted: []dataplane.MAC{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}}, Blocked: []dataplane.MAC{{2, 0, 0, 0, 0, 10}},
		Attach:  dataplane.Clsact,
		Limiter: dataplane.Bucket,
		Uplink:  dataplane.Uplink{DownBPS: 100_000_000, UpBPS: 20_500_000},
		Garden: dataplane.Garden{
			Entries: []dataplane.GardenEntry{
				{Network: netip.MustParsePrefix("203.0.113.0/24")}, {Network: netip.MustParsePrefix("2001:db8::/32")}, {Network: netip.MustParsePrefix("198.51.100.7/32")},
				{Name: "pay.example"}, {Name: "*.bank.example"},
			},
			Ports: []uint16{443, 8443}, SpeedBPS: 512_000,
		},
		Portals: []dataplane.Portal{
			{Port: 8080, Protocol: "tcp"}, {Addr: netip.MustParseAddr("10.0.0.1"), Port: 443, Protocol: "tcp"}, {Addr: netip.MustParseAddr("fd00::1"), Port: 80, Protocol: "tcp"},
		},
		Captive:    dataplane.Captive{Redirect: "https://10.0.0.1/shop?x=1", HTTPS: dataplane.HTTPSAlert, EndedQuiet: 2 * time.Minute},
		CaptiveAPI: "https://portal.example/captive",
		LogLevel:   slog.LevelDebug, LogFormat: LogJSON, MetricsListen: "127.0.0.1:9273",
	}
	if diff := cmp.Diff(want, got, asValues...); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Each refusal names the file, the line, the key and the value.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"max_client: 5", `c:1: max_client: unknown key (did you mean max_clients?)`},
		{"\n\nlog:\n  level: info\n  colour: red", `c:5: log.colour: unknown key`},
		{"log: {level: loud}", `c:1: log.level: "loud" is not known: want debug or info or warn or error`},
		{"log: text", `c:1: log: text is not a mapping`},
		{"socket: a\nsocket: b", `c:2: mapping key "socket" already defined`},
		{`captive: {redirect: "http://192.0.2.9:81/"}`, `c:1: captive.redirect: "http://192.0.2.9:81/" is neither in portal nor in walled_garden`},
		{`captive: {redirect: "http://a/\x22"}`, `c:1: captive.redirect: "http://a/\"": byte 9 is not one of a URL`},
		{`captive: {api: "http://portal.example/api"}`, `c:1: captive.api: "http://portal.example/api": want a URL like https://`},
		{`captive: {api: "https:///api"}`, `c:1: captive.api: "https:///api": want a URL like https://`},
		{`captive: {api: "https://192.0.2.9:8443/"}`, `c:1: captive.api: "https://192.0.2.9:8443/" is neither in portal nor in walled_garden`},
		{`captive: {api: "https://portal.example/a,b"}`, `c:1: captive.api: "https://portal.example/a,b": byte 24 is not one`},
		{`captive: {api: "https://a/` + strings.Repeat("x", 250) + `"}`, `bytes, at most 255 fit a DHCP option`},
		{`captive: {redirect: "ftp://10.0.0.1/"}`, `c:1: captive.redirect: "ftp://10.0.0.1/": want a URL`},
		{`captive: {redirect: "http://a/` + strings.Repeat("x", 160) + `"}`, `c:1: captive.redirect: "http://a/`},
		{"interfaces: br-lan", `c:1: interfaces: br-lan is not a list: write [br-lan]`},
		{"interfaces: []", `c:1: interfaces: is empty`},
		{"interfaces:", `c:1: interfaces: is empty`},
		{"interfaces:\n- br-lan\n- br-lan", `c:3: interfaces[1]: "br-lan" is in the list twice`},
		{"interfaces: [a-name-of-16-byte]", `c:1: interfaces[0]: "a-name-of-16-byte" is not the name of an interface`},
		{"interfaces: [[a]]", `c:1: interfaces[0]: [a] is not a plain value`},
		{"interfaces: [~]", `c:1: interfaces[0]: has no value`},
		{"state_dir: var/lib", `c:1: state_dir: "var/lib" is not an absolute path`},
		{"socket:", `c:1: socket: has no value`},
		{"socket: /" + strings.Repeat("x", 110), `is too long for a socket`},
		{"max_clients: 0", `c:1: max_clients: "0" is out of range: want a whole number from 1 to 1000000`},
		{"max_clients: -1", `c:1: max_clients: "-1" is out of range`},
		{"max_clients: 1.5", `c:1: max_clients: "1.5" is out of range`},
		{"max_clients: 99999999999999999999", `c:1: max_clients: "99999999999999999999" is out of range`},
		{"global_speed: {down_mbps: .nan}", `c:1: global_speed.down_mbps: ".nan" is not a speed`},
		{"global_speed: {down_mbps: NaN}", `c:1: global_speed.down_mbps: "NaN" is not a speed`},
		{"global_speed: {down_mbps: -1}", `c:1: global_speed.down_mbps: "-1" is not a speed`},
		{"global_speed: {down_mbps: 500000}", `c:1: global_speed.down_mbps: "500000" is not a speed: want Mbit/s from 0.001 to 100000, or 0 for no limit`},
		{"limiter: fair\nuplink:\n  up_mbps: 500000", `c:3: uplink.up_mbps: "500000" is not a speed: want Mbit/s from 0.001 to 100000`},
		{"uplink: 100", `c:1: uplink: 100 is not a mapping`},
		{"uplink: {down_mbps: fast}", `c:1: uplink.down_mbps: "fast" is not a speed`},
		{"uplink: {total_mbps: 5}", `c:1: uplink.total_mbps: unknown key`},
		{"global_speed: {up_mbps: .inf}", `c:1: global_speed.up_mbps: ".inf" is not a speed`},
		{"global_speed: {up_mbps: 1e400}", `c:1: global_speed.up_mbps: "1e400" is not a speed`},
		{"global_speed: {up_mbps: 0.0001}", `c:1: global_speed.up_mbps: "0.0001" is not a speed`},
		{"checkpoint: 15", `c:1: checkpoint: "15" has no unit: want a duration`},
		{"checkpoint: 0s", `c:1: checkpoint: "0s" is out of range: want 1s to 1h 00m 00s`},
		{"checkpoint: -15s", `c:1: checkpoint: "-15s" is negative`},
		{"idle_timeout: soon", `c:1: idle_timeout: "soon" is not an amount`},
		{"idle_timeout: 30d", `c:1: idle_timeout: "30d" is out of range`},
		{"low_balance_percent: 100", `c:1: low_balance_percent: "100" is out of range: want a whole number from 0 to 99`},
		{"on_stop: kill", `c:1: on_stop: "kill" is not known: want keep or disconnect`},
		{"after_reboot: yes", `c:1: after_reboot: "yes" is not known: want pause or resume`},
		{"attach: xdp", `c:1: attach: "xdp" is not known: want auto or tcx or clsact`},
		{"limiter: htb", `c:1: limiter: "htb" is not known: want fair or bucket`},
		{"tcp_window_clamp: yes", `c:1: tcp_window_clamp: "yes" is not known: want true or false`},
		{"trusted: [02:00:00:00:00]", `c:1: trusted[0]: "02:00:00:00:00" is not a MAC address`},
		{"trusted: [ff:ff:ff:ff:ff:ff]", `c:1: trusted[0]: ff:ff:ff:ff:ff:ff is the broadcast address`},
		{"blocked: [01:00:5e:00:00:01]", `c:1: blocked[0]: 01:00:5e:00:00:01 is a multicast address`},
		{"trusted: [02:00:00:00:00:01]\nblocked: [02:00:00:00:00:01]", `c:2: blocked[0]: 02:00:00:00:00:01 is trusted as well`},
		{"walled_garden: [a..example]", `c:1: walled_garden[0]: "a..example" is not a name`},
		{"walled_garden: [*.bank.example]", `c:1: walled_garden[0]: *.bank.example is an alias in YAML: write it in quotes, as "*.bank.example"`},
		{"walled_garden: [pay.*.example]", `c:1: walled_garden[0]: "pay.*.example" is not a name`},
		{`walled_garden: ["*.com"]`, `c:1: walled_garden[0]: "*.com" would open every name below a top-level domain`},
		{"walled_garden: [10.1.0.300]", `c:1: walled_garden[0]: "10.1.0.300" is neither an address nor a name`},
		{"walled_garden: [10.1.0.0/33]", `c:1: walled_garden[0]: "10.1.0.0/33" is neither a network nor a name`},
		{"walled_garden: [" + strings.Repeat("a", 64) + ".example]", `c:1: walled_garden[0]: "` + strings.Repeat("a", 64) + `.example" is not a name`},
		{"walled_garden: [pay.example, PAY.example]", `c:1: walled_garden[1]: "PAY.example" is in the list twice`},
		{"walled_garden: [pay.example]\nwalled_garden_ports: []", `c:2: walled_garden_ports: is empty, and walled_garden has the name pay.example`},
		{"walled_garden_ports: [443, 0]", `c:1: walled_garden_ports[1]: "0" is not a port`},
		{"walled_garden_ports: [1, 2, 3, 4, 5, 6, 7, 8, 9]", `c:1: walled_garden_ports: 9 ports: at most 8`},
		{"walled_garden_speed: fast", `c:1: walled_garden_speed: "fast"`},
		{"walled_garden_speed: 900bit", `c:1: walled_garden_speed: "900bit" is out of range`},
		{"walled_garden: [10.0.0.1/8]", `c:1: walled_garden[0]: "10.0.0.1/8" has bits beyond its length: did you mean 10.0.0.0/8?`},
		{"walled_garden: [0.0.0.0/0]", `c:1: walled_garden[0]: "0.0.0.0/0" would open the whole internet`},
		{"portal: [80]", `c:1: portal[0]: "80" is not a service`},
		{`portal: [":0"]`, `c:1: portal[0]: ":0" is not a service`},
		{`portal: ["portal.lan:80"]`, `c:1: portal[0]: "portal.lan:80" is not a service`},
		{"metrics: {listen: 9273}", `c:1: metrics.listen: "9273" is not an address`},
		{"metrics: {listen: 'localhost:http'}", `c:1: metrics.listen: "localhost:http" is not an address`},
		{"socket: &a /x\nbpffs: *a", `c:1: socket: &a /x is not a plain value`},
		{"[1, 2]", `c:1: [1, 2] is not a mapping`},
		{"hello", `c:1: hello is not a mapping`},
		{"socket: /a\n---\nsocket: /b", `c:3: a second document`},
		{"interfaces: [", `c:1: sequence end token ']' not found`},
		{"\tsocket: /a", `c:1: tab character`},
		{"max_clients: 0\ncheckpoint: 1\nlimiter: x", `c:1: max_clients: "0" is out of range: want a whole number from 1 to 1000000 (and 2 more)`},
	} {
		_, err := parse("c", []byte(c.text), Default())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got: %v\nwant: %s", c.text, err, c.want)
		}
	}
}

func TestLoadSaysWhy(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir+"/none.yaml", Default()); err == nil || !strings.Contains(err.Error(), "no configuration file at "+dir+"/none.yaml") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir, Default()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("folder: %v", err)
	}
}

// Whatever is in the file, the answer is a configuration or a one-line error.
func FuzzParse(f *testing.F) {
	f.Add("interfaces: [br-lan]\nlog: {level: info}")
	f.Add("trusted: [02:00:00:00:00:01]\nglobal_speed: {down_mbps: 1e3}")
	f.Add("a: &x [*x]\n? b\n: |\n  c")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parse("c", []byte(text), Default()); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error of several lines: %q", text, err)
		}
	})
}
