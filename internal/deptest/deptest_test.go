// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of this repository a package may import, and why no other.
// The entry with the longest path that fits counts; a package without one fails. "..."
// stands for all packages below a folder, and the folder.
var arrows = []struct {
	from   string
	to     []string
	reason string
}{
	{"pkg/dataplane", nil,
		"it is the bottom: values that describe rules and counters, on every operating system"},
	{"pkg/dataplane/linux", []string{"pkg/dataplane", "pkg/dataplane/linux/internal/..."},
		"it enforces rules and counts bytes, and knows none of its users"},
	{"pkg/dataplane/linux/internal", []string{"pkg/dataplane", "pkg/dataplane/linux/internal/..."},
		"parts of the implementation do not know the whole"},
	{"pkg/dataplane/linux/doctor", []string{"pkg/dataplane", "pkg/dataplane/linux", "pkg/dataplane/linux/internal/..."},
		"it diagnoses what the implementation needs, which does not need it"},
	{"pkg/meter", []string{"pkg/dataplane"},
		"it decides when counters are read; its Sink decides what is done with a reading"},
	{"internal/keylock", nil,
		"a lock knows nothing of what it guards; the only package of internal that the product imports, because pkg/sessions and pkg/api both need it"},
	{"pkg/sessions", []string{"pkg/dataplane"},
		"the domain is values, pure rules and ports: storage, transport and kernel come to it as interfaces"},
	{"pkg/sessions/manager", []string{"pkg/sessions", "pkg/dataplane", "internal/keylock", "pkg/sessions/manager/internal/..."},
		"it applies the rules through the ports, and knows neither the store, the kernel nor the API"},
	{"pkg/sessions/manager/internal/background", nil,
		"it runs goroutines and knows none of their work"},
	{"pkg/sessions/manager/internal/wallclock", []string{"pkg/sessions", "pkg/dataplane"},
		"whether the wall clock can be trusted depends on no session"},
	{"pkg/sessions/manager/internal/running", []string{"pkg/sessions", "pkg/dataplane"},
		"the table of running sessions is memory: it follows transactions and starts none"},
	{"pkg/sessions/manager/internal/ledger", []string{"pkg/sessions", "pkg/dataplane", managed + "background", managed + "running", managed + "wallclock"},
		"one transaction and what follows it: it does not know what is decided in one"},
	{"pkg/sessions/manager/internal/enforce", []string{"pkg/sessions", "pkg/dataplane", "internal/keylock", managed + "ledger", managed + "running", managed + "wallclock"},
		"it brings one device's rule into the kernel, and decides nothing about sessions"},
	{"pkg/sessions/manager/internal/providers", []string{"pkg/sessions", "pkg/dataplane", "internal/keylock", managed + "ledger", managed + "running", managed + "wallclock"},
		"calls of providers wait for a network: neither rules nor kernel wait for them"},
	{"pkg/sessions/manager/internal/start", []string{"pkg/sessions", "pkg/dataplane", managed + "enforce", managed + "ledger", managed + "providers", managed + "running", managed + "wallclock"},
		"it starts and stops sessions; settlement calls it, not the other way round"},
	{"pkg/sessions/manager/internal/settle", []string{"pkg/sessions", "pkg/dataplane", managed + "enforce", managed + "ledger", managed + "providers", managed + "running", managed + "start", managed + "wallclock"},
		"it debits usage and ends sessions; the verbs call it, not the other way round"},
	{"pkg/sessions/manager/internal/identity", []string{"pkg/sessions", "pkg/dataplane", managed + "enforce", managed + "ledger", managed + "running", managed + "start", managed + "wallclock"},
		"which device an address belongs to depends on no settlement"},
	{"pkg/sessions/manager/internal/devices", []string{"pkg/sessions", "pkg/dataplane", managed + "enforce", managed + "identity", managed + "ledger", managed + "wallclock"},
		"which devices there are depends on no settlement and no provider"},
	{"pkg/sessions/sqlite", []string{"pkg/sessions", "pkg/dataplane", "pkg/sessions/sqlite/internal/..."},
		"it stores what the rules decide, and decides nothing"},
	{"pkg/sessions/sqlite/internal/disk", nil,
		"durable writes of files know none of their contents"},
	{"pkg/sessions/sqlite/internal/conn", nil,
		"statements on a connection know no table"},
	{"pkg/sessions/sqlite/internal/journal", []string{"pkg/sessions/sqlite/internal/conn"},
		"how a file is opened does not depend on what is in it"},
	{"pkg/sessions/sqlite/internal/trim", []string{"pkg/sessions/sqlite/internal/conn", "pkg/sessions/sqlite/internal/journal"},
		"the size of the log does not depend on what is in it"},
	{"pkg/sessions/sqlite/internal/schema", []string{"pkg/sessions/sqlite/internal/disk"},
		"migrations are SQL: the values of today must not change what they did to old databases"},
	{"pkg/sessions/sqlite/internal/checkpoint", []string{"pkg/sessions", "pkg/dataplane", "pkg/sessions/sqlite/internal/disk"},
		"the checkpoint file is written beside the database and knows nothing of it"},
	{"pkg/sessions/sqlite/internal/tables", []string{"pkg/sessions", "pkg/dataplane", "pkg/sessions/sqlite/internal/conn"},
		"rows of one transaction: how it is begun and made durable is the store's"},
	{"pkg/sessions/sqlite/internal/salvage", []string{"pkg/sessions", "pkg/dataplane", "pkg/sessions/sqlite/internal/conn", "pkg/sessions/sqlite/internal/tables"},
		"it copies rows of a damaged database: files are moved by its caller"},
	{"pkg/sessions/storetest", []string{"pkg/sessions", "pkg/dataplane"},
		"it is the contract of every Store, so it must know none"},
	{"pkg/sessions/sessionstest", []string{"pkg/sessions", "pkg/dataplane"},
		"it stands in for the kernel, so it must not reach the real one"},
	{"pkg/api", []string{"pkg/sessions", "pkg/dataplane", "pkg/api/internal/wire", "internal/keylock"},
		"embedders import it on every operating system: it must not bring them the store, the kernel or the daemon"},
	{"pkg/api/internal/wire", []string{"pkg/sessions", "pkg/dataplane"},
		"both ends of the socket share it, so it knows neither"},
	{"pkg/api/internal/apitest", []string{"pkg/api/...", "pkg/sessions/...", "pkg/dataplane"},
		"it is a whole agent but for the kernel, for tests and examples"},
	{"pkg/api/server", []string{"pkg/api", "pkg/api/internal/wire", "pkg/sessions", "pkg/sessions/manager", "pkg/dataplane", "internal/keylock"},
		"it puts the rules on a socket: kernel and store are the daemon's to connect"},
	{"cmd/hotspot-agent", []string{"cmd/hotspot-agent/internal/..."},
		"main only chooses a command"},
	{"cmd/hotspot-agent/internal/cli", []string{"cmd/hotspot-agent/internal/...", "pkg/api", "pkg/sessions", "pkg/dataplane", "pkg/dataplane/linux"},
		"commands use the socket as every client does; detach works without a daemon"},
	{"cmd/hotspot-agent/internal/cli/doctor", []string{"cmd/hotspot-agent/internal/...", "pkg/..."},
		"it checks kernel, hooks and database also where no daemon runs"},
	{"cmd/hotspot-agent/internal/captive", []string{"cmd/hotspot-agent/internal/config", "pkg/api", "pkg/dataplane"},
		"it goes a phone's way from the outside, with and without an agent"},
	{"cmd/hotspot-agent/internal/daemon", []string{"cmd/hotspot-agent/internal/...", "pkg/..."},
		"it is the only place that knows all parts, and needs none of the test tools"},
	{"cmd/hotspot-agent/internal/config", []string{"cmd/hotspot-agent/internal/units", "pkg/api/server", "pkg/sessions", "pkg/dataplane"},
		"it takes the bounds of its keys from the packages that enforce them"},
	{"cmd/hotspot-agent/internal", nil,
		"helpers of the command know nothing of the agent"},
	{"internal", []string{"internal/..."},
		"labs and demos drive the agent from outside, as a customer and an owner do"},
	{"internal/lab", nil,
		"an independent witness: what it counts must not pass through the code that it checks"},
	{"internal/testsummary", nil,
		"it judges the other tests"},
	{"bench", []string{"bench/...", "internal/..."},
		"it measures the agent from outside; what its figures need is no dependency of the product"},
	{"torture", []string{"torture/...", "internal/..."},
		"it breaks the agent's surroundings from outside, as a kiosk does"},
	{"clients", []string{"clients/...", "internal/..."},
		"it has others' programs meet the agent from outside"},
	{"examples", []string{"pkg/api"},
		"the SDK is all that an embedder needs"},
}

const managed = "pkg/sessions/manager/internal/"

// doors says which packages may import something from outside, and why no other.
var doors = []struct {
	what   []string // of the standard library, or other modules
	from   []string
	reason string
}{
	{[]string{"pkg/dataplane/linux"}, []string{"pkg/dataplane/linux", "cmd/hotspot-agent"},
		"rules and API are tested, and embedded, without a kernel: they know the values of pkg/dataplane alone"},
	{[]string{"github.com/cilium/ebpf"}, []string{"pkg/dataplane/linux", "internal/baseline", "bench", "torture"},
		"pkg/dataplane/linux is the one door to eBPF; the benchmark compares with the least programs; the torture looks into maps and detaches links as another program would"},
	{[]string{"github.com/vishvananda/netlink", "github.com/vishvananda/netns"}, []string{"pkg/dataplane/linux", "internal/lab"},
		"pkg/dataplane/linux is the one door to netlink; the lab builds networks"},
	{[]string{"github.com/mattn/go-sqlite3"}, []string{"pkg/sessions/sqlite"},
		"that the store is SQLite is known to one package"},
	{[]string{"net/http"}, []string{"pkg/api", "cmd/hotspot-agent/internal/daemon", "cmd/hotspot-agent/internal/captive", "examples", "internal/demo", "internal/harness", "torture/provider", "clients/kiosk"},
		"the wire is spoken by pkg/api; the daemon serves metrics; doctor opens the portal as a phone does; examples are web servers; the demo has a portal and a browser; benchmarks make more calls than processes can; a provider that lies speaks the wire by itself; the portal and the internet of clients are web servers"},
	{[]string{"os/exec"}, []string{"internal", "bench", "torture", "clients"},
		"the agent starts no other programs: that is slow, and fails in ways that no test covers"},
	{[]string{"kernel.org/pub/linux/libs/security/libcap"}, []string{"cmd/hotspot-agent/internal/daemon"},
		"what the process may do is the daemon's to give up, not the library's: that would hit its embedder"},
	{[]string{"github.com/urfave/cli", "github.com/charmbracelet", "github.com/goccy/go-yaml", "github.com/VictoriaMetrics",
		"github.com/coreos/go-systemd", "github.com/mattn/go-isatty"}, []string{"cmd"},
		"terminal, configuration and service manager are the daemon's business, not the library's"},
	{[]string{"testing", "github.com/google/go-cmp", "pgregory.net/rapid", "github.com/getkin/kin-openapi", "github.com/gopacket"},
		[]string{"pkg/sessions/storetest", "pkg/sessions/sessionstest", "pkg/api/internal/apitest", "internal", "bench", "torture", "clients"},
		"what only tests need is not shipped"},
	{[]string{"C"}, nil,
		"all but the store is built without a C compiler"},
}

// noIO is what the rules must not touch: a rule that reads a clock, a file or a
// socket cannot be tested for every time and every failure.
var noIO = []string{"os", "net", "net/http", "database/sql", "os/exec", "syscall", "golang.org/x/sys/unix"}

func TestArrows(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			if within(imported, []string{"pkg", "cmd", "internal", "bench", "torture", "clients", "examples"}) {
				checkArrow(t, s, imported)
			}
		}
	}
}

// allowed reports whether a package is one of those of an arrow.
func allowed(imported string, to []string) bool {
	return slices.ContainsFunc(to, func(pattern string) bool {
		folder, all := strings.CutSuffix(pattern, "/...")
		return imported == folder || all && within(imported, []string{folder})
	})
}

func checkArrow(t *testing.T, s source, imported string) {
	t.Helper()
	best := -1
	for i, a := range arrows {
		if within(s.folder, []string{a.from}) && (best < 0 || len(a.from) > len(arrows[best].from)) {
			best = i
		}
	}
	switch {
	case best < 0:
		t.Errorf("%s: no arrow starts at %s: add one, with its reason", s.path, s.folder)
	case !allowed(imported, arrows[best].to):
		t.Errorf("%s imports %s: %s may import %q\n\t%s", s.path, imported, arrows[best].from, arrows[best].to, arrows[best].reason)
	}
}

func TestDoors(t *testing.T) {
	for _, s := range sources(t) {
		for _, door := range doors {
			for _, imported := range s.imports {
				if within(imported, door.what) && !within(s.folder, door.from) {
					t.Errorf("%s imports %s, which is for %q\n\t%s", s.path, imported, door.from, door.reason)
				}
			}
		}
	}
}

// TestRulesDoNoIO: neither the values, the domain nor the manager do I/O, and the domain has no
// lock and no goroutine to wait for either.
func TestRulesDoNoIO(t *testing.T) {
	for _, s := range sources(t) {
		if s.folder != "pkg/dataplane" && s.folder != "pkg/sessions" && !within(s.folder, []string{"pkg/sessions/manager"}) {
			continue
		}
		if s.folder == "pkg/sessions" && (slices.Contains(s.imports, "sync") || slices.Contains(s.imports, "sync/atomic")) {
			t.Errorf("%s imports sync: the domain has no locks", s.path)
		}
		for _, imported := range s.imports {
			if slices.Contains(noIO, imported) {
				t.Errorf("%s imports %s: the rules do no I/O", s.path, imported)
			}
		}
		for _, name := range s.uses("time") {
			if slices.Contains([]string{"Now", "Since", "Until", "Sleep"}, name) {
				t.Errorf("%s uses time.%s: the rules take the time from their Clock", s.path, name)
			}
		}
	}
}

// TestNoKernelBelowTheRules: rules, values and the SDK build on any system, because
// nothing below them reaches the kernel or the store.
func TestNoKernelBelowTheRules(t *testing.T) {
	modules := modulesOf(t, ".", "./pkg/dataplane", "./pkg/sessions", "./pkg/api")
	for _, kernel := range []string{"github.com/cilium/ebpf", "github.com/vishvananda/netlink", "github.com/mattn/go-sqlite3"} {
		if modules[kernel] != "" {
			t.Errorf("%s is below pkg/dataplane, pkg/sessions or pkg/api", kernel)
		}
	}
}

// TestTheTestLooks: a test that finds nothing to check would pass for ever.
func TestTheTestLooks(t *testing.T) {
	count := make(map[string]int)
	for _, s := range sources(t) {
		count[s.folder]++
	}
	for _, folder := range []string{"pkg/dataplane", "pkg/dataplane/linux", "pkg/sessions", "pkg/sessions/manager", "pkg/sessions/sqlite", "pkg/meter", "pkg/api", "cmd/hotspot-agent"} {
		if count[folder] == 0 {
			t.Errorf("no sources found in %s", folder)
		}
	}
}
