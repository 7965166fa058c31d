// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// The started daemon has four capabilities, on each of its threads, and no way to get
// another. With them it does all that it has to: the test goes through each reason why
// one of them, or one that is gone, could be needed.
func TestDaemonDropsPrivileges(t *testing.T) {
	m := newMachine(t, "checkpoint: 1s")
	m.watch("wlan9", "wlan8")
	stop, err := m.Server.ServeEcho(7)
	m.must(err)
	defer stop()
	m.must(m.agent.Start())
	m.lookAtThreads()

	m.ip("link", "add", "wlan9", "type", "veth", "peer", "name", "wlan9p")
	m.protected("wlan9")
	m.ip("link", "del", "wlan9")
	m.ip("link", "add", "wlan9", "type", "veth", "peer", "name", "wlan9p")
	m.protected("wlan9")
	// A bridge port takes other programs, which were not loaded yet.
	m.ip("link", "add", "br9", "type", "bridge")
	m.ip("link", "add", "wlan8", "type", "veth", "peer", "name", "wlan8p")
	m.ip("link", "set", "wlan8", "master", "br9")
	m.protected("wlan8")
	m.pinsComeBack()

	socket, asked := m.provider()
	_, err = m.client().RegisterProvider(t.Context(), api.Provider{Name: "shop", Socket: socket})
	m.must(err)
	_, err = m.agent.Buy(m.customer(), "--type", "data", "--data", "1MB")
	m.must(err)
	_, err = m.agent.Connect(m.customer())
	m.must(err)
	if asked.Load() == 0 {
		t.Error("a provider of another user cannot be asked")
	}
	if !m.online() {
		t.Error("a paying customer does not reach the internet")
	}
	marks := m.agent.Database() + "-checkpoint1"
	m.eventually("a checkpoint is written", func() bool { _, err := os.Stat(marks); return err == nil })
	m.lookAtThreads()
	m.must(m.agent.Stop())
	if _, err := os.Lstat(m.agent.Socket()); err == nil {
		t.Error("the socket is left behind")
	}
	if log := m.agent.Log(); !strings.Contains(log, "agent has stopped") || strings.Contains(log, "operation not permitted") {
		t.Errorf("the log: %s", log)
	}
}

// The capabilities that the service file leaves are enough to start with, where a bpffs
// is mounted, as systemd does.
func TestDaemonStartsWithItsUnitsCapabilities(t *testing.T) {
	m := newMachine(t)
	bpffs := filepath.Join(filepath.Dir(m.agent.Config()), "bpf")
	m.must(os.Mkdir(bpffs, 0o700))
	m.must(unix.Mount("hotspot-agent", bpffs, "bpf", 0, "mode=0700"))
	daemon := m.Router.Command("setpriv", "--bounding-set="+unitsCapabilities(t), m.program, "run", "--config", m.agent.Config())
	var log bytes.Buffer
	daemon.Stderr = &log
	m.must(daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill() })
	m.eventually("the daemon answers", func() bool { _, err := m.client().Status(t.Context()); return err == nil })
	m.protected("br-lan")
	m.must(daemon.Process.Signal(syscall.SIGTERM))
	if err := daemon.Wait(); err != nil {
		t.Errorf("a clean stop: %v\n%s", err, log.String())
	}
}

// unitsCapabilities is CapabilityBoundingSet in the words of setpriv(1).
func unitsCapabilities(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join("..", "..", "dist", "hotspot-agent.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(unit), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(after, "\n")
	if !found || line == "" {
		t.Fatal("the unit bounds no capabilities")
	}
	return "-all,+" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(line, "CAP_", "")), " ", ",+")
}

// watch adds interfaces to the configuration.
func (m *machine) watch(names ...string) {
	m.Helper()
	text, err := os.ReadFile(m.agent.Config())
	m.must(err)
	more := "[br-lan, " + strings.Join(names, ", ") + "]"
	m.must(os.WriteFile(m.agent.Config(), []byte(strings.Replace(string(text), "[br-lan]", more, 1)), 0o600))
}

func (m *machine) ip(args ...string) {
	m.Helper()
	m.must(m.wait(exec.Command("nsenter", append([]string{"--net=" + m.Router.NetNS(), "ip"}, args...)...)).err())
}

func (m *machine) protected(name string) {
	m.Helper()
	m.eventually(name+" is protected", func() bool {
		status, err := m.client().Status(m.Context())
		m.must(err)
		for _, i := range status.Interfaces {
			if i.Name == name {
				return i.Attached
			}
		}
		return false
	})
}

// lookAtThreads reads what proc(5) says of every thread of the daemon.
func (m *machine) lookAtThreads() {
	m.Helper()
	const all = 1<<39 | 1<<38 | 1<<12 | 1<<1 // BPF, PERFMON, NET_ADMIN, DAC_OVERRIDE
	bits := fmt.Sprintf("%016x", uint64(all))
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", m.agent.PID()))
	m.must(err)
	if len(threads) < 2 {
		m.Fatalf("threads are %v", threads)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		m.must(err)
		for _, want := range []string{
			"CapInh:\t0000000000000000", "CapPrm:\t" + bits, "CapEff:\t" + bits, "CapBnd:\t" + bits, "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
		} {
			if !strings.Contains(string(text), want+"\n") {
				m.Errorf("%s does not say %q:\n%s", thread, want, text)
			}
		}
	}
}

// pinsComeBack removes the pins of the links, where there are some.
func (m *machine) pinsComeBack() {
	m.Helper()
	pins, err := filepath.Glob(filepath.Join(filepath.Dir(m.agent.Config()), "bpf", "links", "*"))
	m.must(err)
	for _, pin := range pins {
		m.must(os.Remove(pin))
	}
	m.eventually("the pins are back", func() bool {
		for _, pin := range pins {
			if _, err := os.Lstat(pin); err != nil {
				return false
			}
		}
		return true
	})
}

// provider is one that has nothing to sell, on a socket that only its user may
// use, another one than the agent's.
func (m *machine) provider() (socket string, asked *atomic.Int32) {
	m.Helper()
	socket = filepath.Join(m.TempDir(), "shop.sock")
	ln, err := net.Listen("unix", socket)
	m.must(err)
	m.must(os.Chown(socket, 4000, 4000))
	m.must(os.Chmod(socket, 0o600))
	asked = new(atomic.Int32)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"found":false}`))
	})}
	go func() { _ = server.Serve(ln) }()
	m.Cleanup(func() { _ = server.Close() })
	return socket, asked
}
