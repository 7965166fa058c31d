// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// decode reads what --json printed.
func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(strings.NewReader(r.out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil || r.status != exit.Done {
		t.Fatalf("exit status %d, %v\nstdout: %s\nstderr: %s", r.status, err, r.out, r.stderr)
	}
	return value
}

// Each command that takes a DEVICE takes the interface of its IP: the answer is of that one.
func TestInterfaceOfAnIP(t *testing.T) {
	k := newKiosk(t)
	k.run("session", "create", "--device", "10.0.0.23", "--type", "time", "--time", "1h", "--interface", "br-lan").expect(t, exit.Done, "device      1")
	for _, call := range []string{
		"device show 10.0.0.23", "device update 10.0.0.23 --hostname phone", "session list --device 10.0.0.23", "status 10.0.0.23",
		"session move 1 --device 10.0.0.23", "connect 10.0.0.23", "disconnect 10.0.0.23",
	} {
		words := strings.Fields(call)
		k.run(append(words, "--interface", "br-lan")...).expect(t, exit.Done)
		k.run(append(words, "--interface", "wan")...).expect(t, exit.Failed, "10.0.0.23")
	}
	k.run("status", "1", "--interface", "br-lan").expect(t, exit.Failed, "interface")
	k.run("connect", "10.0.0.24").expect(t, exit.Failed, "10.0.0.24", "now")
}

func TestDevices(t *testing.T) {
	k := newKiosk(t)
	k.run("device", "list").expect(t, exit.Done, "ID  MAC  IP  HOSTNAME  CREATED")
	k.run("device", "list", "--json").expect(t, exit.Done, "[]\n")
	k.run("device", "add", "02-00-5E-10-00-01", "--ip", "10.0.0.23", "--hostname", "phone").
		expect(t, exit.Done, "device    1\n", "MAC       02:00:5e:10:00:01\n", "IP        10.0.0.23\n", "hostname  phone\n")
	k.run("device", "list").expect(t, exit.Done, "1   02:00:5e:10:00:01  10.0.0.23  phone     2026-")
	for _, ref := range []string{"1", "02:00:5e:10:00:01", "0200.5e10.0001", "10.0.0.23"} {
		if d := decode[api.Device](t, k.run("device", "show", ref, "--json")); d.ID != 1 || d.Hostname != "phone" {
			t.Errorf("device show %s: %+v", ref, d)
		}
	}
	k.run("device", "update", "1", "--hostname", "tablet", "--ip", "10.0.0.24").expect(t, exit.Done, "tablet", "10.0.0.24")
	k.run("device", "update", "1", "--mac", "02:00:5e:10:00:02").expect(t, exit.Done, "02:00:5e:10:00:02", "tablet")

	k.run("device", "add", "02:00:5e:10:00:03").expect(t, exit.Done)
	k.run("session", "create", "--device", "1", "--type", "time", "--time", "1h").expect(t, exit.Done)
	k.run("device", "update", "2", "--mac", "02:00:5e:10:00:02").expect(t, exit.Failed, "02:00:5e:10:00:02")
	k.run("device", "add", "ff:ff:ff:ff:ff:ff").expect(t, exit.Failed, "broadcast")
	k.run("device", "add", "01:00:5e:00:00:01").expect(t, exit.Failed, "multicast")
	k.run("device", "add", "02:00").expect(t, exit.Failed, `"02:00"`)
	k.run("device", "add", "02:00:5e:10:00:04", "--ip", "10.0.0").expect(t, exit.Failed, "10.0.0")
	k.run("device", "show", "99").expect(t, exit.Failed, "99", "hotspot-agent device list")
	k.run("device", "show", "10.9.9.9").expect(t, exit.Failed, "10.9.9.9")
	k.run("device", "show", "unknown").expect(t, exit.Failed, "unknown")
}

func TestSessions(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "data", "--data", "20MB", "--down", "10", "--up", "512k", "--expires", "30d")
	k.sell("--type", "1", "--data", "1GiB", "--global-speed")
	s := decode[api.Purchase](t, k.run("session", "create", "--device", "1", "--type", "time_or_data", "--time", "1h30m", "--data", "2GB", "--json"))
	if s.ID != 3 || s.TimeSecs != 5400 || s.DataBytes != 2_000_000_000 || s.ExpDays != nil || s.Type != "time_or_data" {
		t.Errorf("created %+v", s)
	}
	k.run("session", "list").expect(t, exit.Done,
		"ID  DEVICE  TYPE          STATE      REMAINING           DOWN / UP               EXPIRES                  PROVIDER",
		"1   1       data          available  20 MB               10 Mbit/s / 512 kbit/s  30 days after its start  local",
		"2   1       data          available  1.07 GB             global                  never                    local",
		"3   1       time_or_data  available  1h 30m 00s or 2 GB  no limit                never                    local")
	k.run("session", "list", "--device", phone.String(), "--json").expect(t, exit.Done, `[{"id":1,`, `"down_bps":10000000,"up_bps":512000`)
	k.run("session", "show", "1").expect(t, exit.Done, "remaining  20 MB", "data       20 MB, 0 B used", "down / up  10 Mbit/s / 512 kbit/s")

	u := decode[api.Session](t, k.run("session", "update", "1", "--add-data", "5MB", "--down", "1G", "--up", "0", "--expires", "never", "--json"))
	if u.DataBytes != 25_000_000 || u.DownBPS != 1e9 || u.UpBPS != 0 || u.ExpDays != nil {
		t.Errorf("updated %+v", u)
	}
	u = decode[api.Session](t, k.run("session", "update", "3", "--add-time", "30m", "--data", "3GB", "--expires", "2w", "--global-speed", "--json"))
	if u.TimeSecs != 7200 || u.DataBytes != 3_000_000_000 || u.ExpDays == nil || *u.ExpDays != 14 || !u.UseGlobalSpeed {
		t.Errorf("updated %+v", u)
	}
	u = decode[api.Session](t, k.run("session", "update", "3", "--type", "time", "--global-speed=false", "--json"))
	if u.Type != "time" || u.UseGlobalSpeed {
		t.Errorf("updated %+v", u)
	}
	k.run("session", "delete", "2").expect(t, exit.Done, "session 2 is deleted")
	k.run("session", "delete", "2").expect(t, exit.Failed, "2", "hotspot-agent session list")
	k.run("session", "show", "2").expect(t, exit.Failed, "2")
	if r := k.run("session", "delete", "3", "--json").expect(t, exit.Done); r.out != "" {
		t.Errorf("printed %q", r.out)
	}

	k.run("session", "create", "--device", "9", "--type", "time", "--time", "1h").expect(t, exit.Failed, "9")
	k.run("session", "create", "--device", "1", "--type", "time").expect(t, exit.Failed, "time_secs")
	k.run("session", "create", "--device", "1", "--type", "data", "--data", "0B").expect(t, exit.Failed, "data_bytes")
	k.run("session", "update", "1", "--add-data", "9223372036854775807B").expect(t, exit.Failed, "9223372036854775807")
}

func TestClaims(t *testing.T) {
	k := newKiosk(t)
	s := decode[api.Purchase](t, k.run("session", "create", "--device", phone.String(), "--type", "time", "--time", "1h", "--json"))
	k.run("session", "create", "--device", "1", "--type", "time", "--time", "1h").expect(t, exit.Done, "claim code  ")
	k.run("connect", "1").expect(t, exit.Done)
	k.run("session", "claim", strings.ToLower(s.Claim), "--device", "02:00:5e:10:00:02").expect(t, exit.Done, "device     2\n", "state      running\n")
	k.run("status", "1").expect(t, exit.Done, "connected  no")
	if moved := decode[api.Session](t, k.run("session", "move", "1", "--device", "1", "--json")); moved.DeviceID != 1 || moved.State != sessions.Running {
		t.Errorf("moved %+v", moved)
	}
	k.run("session", "claim", "0000-0000-0000", "--device", "2").expect(t, exit.Failed, "no purchase has this code")
	k.run("session", "revoke-claim", "1").expect(t, exit.Done, "claim code of session 1 revoked")
	k.run("session", "revoke-claim", "1").expect(t, exit.Failed, "session 1 has no claim code")
	k.run("session", "claim", s.Claim, "--device", "2").expect(t, exit.Failed, "no purchase has this code")
	for _, args := range [][]string{{"claim", "--device", "2"}, {"claim", s.Claim}, {"move", "1"}, {"move", "x", "--device", "2"}} {
		k.run(append([]string{"session"}, args...)...).expect(t, exit.Usage)
	}
}

func TestConnectAndStatus(t *testing.T) {
	k := newKiosk(t)
	k.run("device", "add", phone.String()).expect(t, exit.Done)
	k.run("connect", "1").expect(t, exit.Failed, phone.String(), "session create --device")
	k.run("status", "1").expect(t, exit.Done, "connected  no")
	k.run("disconnect", "1").expect(t, exit.Done, phone.String()+" is not connected")

	k.sell("--type", "data", "--data", "20MB", "--down", "10")
	k.run("connect", "10.0.0.23", "--notify", "hello").expect(t, exit.Done, phone.String()+" is connected: session 1, 20 MB left")
	k.run("connect", "1").expect(t, exit.Done, "is connected")
	for range 2000 {
		k.kernel.Download(phone, 1000)
	}
	k.clock.Advance(10 * time.Second)
	k.run("status", phone.String()).expect(t, exit.Done, "connected  yes", "remaining  18 MB", "passed   2 MB down, 0 B up")
	status := decode[api.DeviceStatus](t, k.run("--json", "status", "1"))
	if !status.Connected || status.Session.RemainingBytes != 18_000_000 || status.Traffic.DownBytes != 2_000_000 || status.Traffic.DownPackets != 2000 {
		t.Errorf("status %+v %+v", status, *status.Session)
	}
	paused := decode[api.DeviceStatus](t, k.run("disconnect", "1", "--json"))
	if paused.Connected || paused.Session != nil {
		t.Errorf("disconnected %+v", paused)
	}
	k.run("session", "show", "1").expect(t, exit.Done, "state      paused", "data       20 MB, 2 MB used")
	k.run("connect", "77").expect(t, exit.Failed, "77")
}

func TestFull(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	k.kernel.SetMax(0)
	k.run("connect", "1").expect(t, exit.Failed, "max_clients")
}

func TestAgentStatus(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	k.run("connect", "1").expect(t, exit.Done)
	k.run("status").expect(t, exit.Done, "version        v1.2.3", "kernel         6.6.0", "attached by    tcx", "limiter        fair", "health         ok",
		"devices        1, 1 connected", "sessions       1 running", "br-lan     tcx", "no_rule    up         7      700 B", "!rate ")
	s := decode[api.AgentStatus](t, k.run("status", "--json"))
	if s.Limiter != "fair" || !s.Health.OK || s.Counts.Connected != 1 || s.Counts.LastEvent == 0 || len(s.Drops) != 2 || s.Drops[0].Reason != "no_rule" {
		t.Errorf("status %+v", s)
	}
	k.plane.status.Problems = []dataplane.Problem{{Code: dataplane.InterfaceAbsent, Interface: "br-lan", Detail: "interface br-lan: gone"}}
	k.clock.SetWall(time.Unix(0, 0))
	k.run("status").expect(t, exit.Done, "health         interface br-lan: gone; the wall clock is not set")
}

// A stranger's hostname cannot write on the operator's terminal.
func TestHostnameIsHarmless(t *testing.T) {
	k := newKiosk(t)
	r := k.run("device", "add", phone.String(), "--hostname", "\x1b]0;x\x07\u202eevil")
	if r.status == exit.Done && strings.ContainsAny(r.out, "\x1b\x07\u202e") {
		t.Errorf("printed %q", r.out)
	}
}

func TestTopOnce(t *testing.T) {
	k := newKiosk(t)
	k.run("top").expect(t, exit.Done, "DEVICE  MAC  IP  HOSTNAME  TYPE  REMAINING")
	k.run("top", "--json").expect(t, exit.Done, "[]\n")
	k.run("device", "add", phone.String(), "--hostname", "phone", "--ip", "10.0.0.23").expect(t, exit.Done)
	k.sell("--type", "time_or_data", "--time", "1h", "--data", "20MB")
	k.run("connect", "1").expect(t, exit.Done)
	k.kernel.Download(phone, 1_000_000)
	k.run("top").expect(t, exit.Done, phone.String(), "phone", "time_or_data", "1h 00m 00s or 19 MB", "0 bit/s")
	if all := decode[[]api.DeviceStatus](t, k.run("top", "--json")); len(all) != 1 || all[0].Device.ID != 1 {
		t.Errorf("top %+v", all)
	}
}
