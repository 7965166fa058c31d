// SPDX-License-Identifier: Apache-2.0

// Package doctor checks whether the machine can enforce rules, and whether what is enforced
// on it is what the options say. It changes nothing, and needs no running agent.
package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Level says how bad a Finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warn    Level = "warn"    // works, or will; worth knowing
	Fail    Level = "fail"    // does not work
	Exposed Level = "exposed" // customers can slip through unpaid, pay for nothing, or are cut off
)

// Finding is what one check of Diagnose found.
type Finding struct {
	Check  string // stable name, with the interface where there is one: "kernel", "interface br-lan"
	Level  Level
	Detail string
	Advice string // what to do; "" when nothing is to be done
}

// Diagnose checks the machine and what is enforced on it, without changing
// anything and whether or not an agent runs. It needs the same rights as linux.Open.
func Diagnose(opts linux.Options) []Finding {
	opts, err := opts.Normalized()
	if err != nil {
		return []Finding{{"options", Fail, err.Error(), "correct the configuration"}}
	}
	found := []Finding{checkKernel(), checkJIT(), checkBPFFS(opts.BPFFS), checkHooks(), checkClock(time.Now()), checkRTC()}
	return append(found, diagnoseNetwork(opts)...)
}

func checkKernel() Finding {
	f := Finding{Check: "kernel", Level: OK, Detail: kernel.Release()}
	if err := features.HaveMapType(ebpf.Hash); errors.Is(err, os.ErrPermission) {
		return Finding{f.Check, Fail, "not permitted to use bpf()", "run as root"}
	}
	if missing := kernel.MissingFeature(); missing != "" {
		f.Level, f.Detail = Fail, missing
		f.Advice = "run a newer kernel, or one built with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF"
	}
	return f
}

func checkJIT() Finding {
	const path = "/proc/sys/net/core/bpf_jit_enable"
	value, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(value)) != "0" {
		return Finding{"jit", OK, "BPF programs are compiled", ""}
	}
	if err != nil {
		return Finding{"jit", Warn, "this kernel interprets BPF programs: several times slower", "build the kernel with CONFIG_BPF_JIT"}
	}
	return Finding{"jit", Warn, "BPF programs are interpreted: several times slower", "sysctl -w net.core.bpf_jit_enable=1"}
}

func checkBPFFS(dir string) Finding {
	for at := dir; ; at = filepath.Dir(at) {
		if pins.OnBPFFS(at) {
			return Finding{"bpffs", OK, dir + " is on the bpffs at or above " + at, ""}
		}
		if at == filepath.Dir(at) {
			return Finding{"bpffs", OK, dir + " is on no bpffs yet: one is mounted at the start", ""}
		}
	}
}

func checkHooks() Finding {
	tcx, err := attach.HaveTCX()
	switch {
	case err != nil:
		return Finding{"hooks", Fail, err.Error(), "run as root, on a kernel with CONFIG_NET_CLS_ACT"}
	case tcx:
		return Finding{"hooks", OK, "tcx links", ""}
	}
	return Finding{"hooks", OK, "clsact filters (tcx links need kernel >= 6.6)", ""}
}

func checkClock(now time.Time) Finding {
	if now.Before(dataplane.EarliestClock) {
		return Finding{"clock", Warn, "the wall clock shows " + now.UTC().Format(time.DateTime) + ": sessions do not expire until it is set",
			"set it, or let an NTP client do so"}
	}
	return Finding{"clock", OK, now.UTC().Format(time.DateTime) + " UTC", ""}
}

func checkRTC() Finding {
	if found, _ := filepath.Glob("/dev/rtc*"); len(found) > 0 {
		return Finding{"rtc", OK, "the clock runs on without power (" + found[0] + ")", ""}
	}
	return Finding{"rtc", Warn, "no hardware clock: after a power cut the wall clock is wrong until the network sets it (used time is not affected)",
		"run an NTP client"}
}

// diagnoseNetwork does the checks that need the namespace.
func diagnoseNetwork(opts linux.Options) []Finding {
	failed := func(err error) []Finding {
		return []Finding{{"network", Fail, err.Error(), "run as root"}}
	}
	s, err := links.OpenNetNS(opts.NetNS)
	if err != nil {
		return failed(err)
	}
	defer s.Close()
	h, err := s.Handle()
	if err != nil {
		return failed(err)
	}
	defer h.Close()
	v, err := links.TakeSnapshot(h)
	if err != nil {
		return failed(err)
	}
	found := []Finding{checkMaps(opts)}
	for _, name := range opts.Interfaces {
		found = append(found, checkInterface(v, name), checkAttached(opts, s, v, name))
		found = append(found, checkOtherVLANs(v, opts.Interfaces, name)...)
	}
	for _, l := range v.ClientLinks(opts.Interfaces) {
		if l.Type() == "bridge" {
			found = append(found, checkLearning(s, l))
			found = append(found, checkGroupForwarding(l)...)
		}
		if v.Bridge(l) == nil { // what comes by a port is the bridge's to route
			found = append(found, checkForged(s, l))
		}
	}
	found = append(found, checkForwarding(opts, s, h, v)...)
	found = append(found, checkNeighbors(neighborTables, opts.MaxClients), checkFlowtables(s, v, opts.Interfaces))
	return append(found, checkHardware(s, v, opts.Interfaces)...)
}

// checkMaps looks at the pinned maps.
func checkMaps(opts linux.Options) Finding {
	const check = "tables"
	spec, err := bpf.LoadHotspot()
	if err != nil {
		return Finding{check, Fail, err.Error(), "install the agent anew"}
	}
	found, err := pins.AdoptMaps(spec, pins.Folder{Root: opts.BPFFS}.Maps())
	switch {
	case err != nil:
		return Finding{check, Warn, "of another version: " + err.Error(), "restart the agent; clients are let in again from the store"}
	case found == nil:
		return Finding{check, Warn, "none pinned: nothing is enforced", "start the agent"}
	}
	defer pins.CloseMaps(found)
	rules := found[bpf.HotspotMapClients]
	clients := 0
	if err := bpf.Walk(rules, 0, func(_ uint32, c *bpf.HotspotClient) {
		if c.InForce > 0 {
			clients++
		}
	}); err != nil {
		return Finding{check, Fail, err.Error(), "run as root"}
	}
	f := Finding{check, OK, fmt.Sprintf("%d clients, room for %d", clients, rules.MaxEntries()), ""}
	if clients*10 >= int(rules.MaxEntries())*9 {
		f.Level, f.Advice = Warn, "raise max_clients; it takes effect after a detach or a reboot"
	}
	return f
}
