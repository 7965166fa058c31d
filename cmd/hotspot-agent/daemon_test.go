// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// machine is a router in a network namespace with the real agent.
type machine struct {
	*testing.T
	*lab.Kiosk
	agent   *harness.Agent
	program string
}

func newMachine(t *testing.T, config ...string) *machine {
	t.Helper()
	if testing.Short() {
		t.Skip("short: needs root and the kernel")
	}
	if os.Geteuid() != 0 {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("hscmd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	kiosk, err := l.Kiosk(lab.KioskConfig{Customers: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{T: t, Kiosk: kiosk, program: program(t)}
	if m.agent, err = harness.New(kiosk, m.program, config...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent's log:\n%s", m.agent.Log())
		}
		if err := m.agent.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// call runs a command in the router and waits for it.
func (m *machine) call(args ...string) result {
	m.Helper()
	return m.wait(m.Router.Command(m.program, args...))
}

// wait gives a command its time: each of them is to end by itself.
func (m *machine) wait(cmd *exec.Cmd) result {
	m.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	m.must(cmd.Start())
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

func (m *machine) client() *api.Client { return api.NewClient(m.agent.Socket()) }

func (m *machine) eventually(what string, met func() bool) {
	m.Helper()
	for deadline := time.Now().Add(10 * time.Second); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.Fatalf("waited 10 s for: %s", what)
		}
	}
}

// customer is the MAC of the one customer, and its way to the internet.
func (m *machine) customer() string { return m.Customers[0].MAC.String() }

func (m *machine) online() bool {
	answered, err := m.Customers[0].Ping(netip.AddrPortFrom(m.Server.Addr4, 7), 1, 200*time.Millisecond)
	return err == nil && answered == 1
}

// The life of a daemon: a second one is refused, a crash loses neither state nor
// balance, a clean stop leaves the customer connected, detach opens the network.
func TestDaemonLives(t *testing.T) {
	m := newMachine(t)
	stop, err := m.Server.ServeEcho(7)
	m.must(err)
	defer stop()
	m.must(m.agent.Start())

	m.call("run", "--config", m.agent.Config()).expect(t, exit.Failed, "is in use by a running agent")
	m.call("run", "--config", m.agent.Config(), "--socket", filepath.Join(t.TempDir(), "b.sock")).expect(t, exit.Failed, "state_dir", "is in use by a running agent")
	m.call("detach", "--config", m.agent.Config()).expect(t, exit.Failed, "an agent is running", "stop it first")
	m.call("doctor", "--config", m.agent.Config()).expect(t, exit.Done, "ok    agent", "ok    database", "is sound", "ok    config")

	if m.online() {
		t.Error("an unpaid customer reaches the internet")
	}
	_, err = m.agent.Buy(m.customer(), "--type", "data", "--data", "1MB")
	m.must(err)
	_, err = m.agent.Connect(m.customer())
	m.must(err)
	if !m.online() {
		t.Error("a paying customer does not reach the internet")
	}
	used := m.used()
	m.eventually("the connect in the log", func() bool { return strings.Contains(m.agent.Log(), "client.connected") })

	m.must(m.agent.Kill())
	if _, err := os.Lstat(m.agent.Socket()); err != nil {
		t.Errorf("a crash leaves the socket: %v", err)
	}
	if !m.online() {
		t.Error("the customer is cut off while the agent is dead")
	}
	m.must(m.agent.Start()) // over the stale socket
	if now := m.used(); now <= used {
		t.Errorf("%d bytes used before the crash, %d after traffic during it", used, now)
	}

	used = m.used()
	m.must(m.agent.Stop())
	if _, err := os.Lstat(m.agent.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a clean stop removes the socket: %v", err)
	}
	if !m.online() {
		t.Error("on_stop: keep does not")
	}
	m.must(m.agent.Start())
	if now := m.used(); now <= used {
		t.Errorf("%d bytes used before the stop, %d after traffic during it", used, now)
	}
	if log := m.agent.Log(); !strings.Contains(log, "agent has stopped") {
		t.Error("the log has no line of the stop")
	}

	m.must(m.agent.Stop())
	for range 2 {
		m.call("detach", "--config", m.agent.Config()).expect(t, exit.Done, "the network is open")
	}
	_, err = m.agent.Run("status")
	if err == nil || !strings.Contains(err.Error(), "no agent answers") {
		t.Errorf("status without an agent: %v", err)
	}
	m.call("doctor", "--config", m.agent.Config()).expect(t, exit.Exposed, "fail  agent", "does not run", "why: without it nothing is sold", "-> start it", "fail  programs br-lan", "the network is open")
}

func (m *machine) used() int64 {
	m.Helper()
	s, err := m.client().Session(m.Context(), 1)
	m.must(err)
	return int64(s.DataUsedBytes)
}

// SIGTERM: exit status 0, settled, and disconnected when the configuration says so.
// The service manager is notified of every step. SIGHUP changes nothing.
func TestDaemonStopsCleanly(t *testing.T) {
	m := newMachine(t, "on_stop: disconnect", "log: {format: json}")
	notified, notifySocket := serviceManager(t)
	cmd := m.Router.Command(m.program, "run", "--config", m.agent.Config())
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notifySocket, "WATCHDOG_USEC=100000")
	var log bytes.Buffer
	cmd.Stderr = &log
	m.must(cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	expectNotified(t, notified, "READY=1")
	expectNotified(t, notified, "WATCHDOG=1")
	_, err := m.agent.Buy(m.customer(), "--type", "time", "--time", "1h")
	m.must(err)
	_, err = m.agent.Connect(m.customer())
	m.must(err)
	m.must(cmd.Process.Signal(syscall.SIGHUP))
	m.must(cmd.Process.Signal(syscall.SIGTERM))
	expectNotified(t, notified, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	for _, part := range []string{`"msg":"agent is ready"`, `"type":"client.disconnected"`, `"reason":"stopped"`, `"msg":"agent has stopped"`, "SIGHUP ignored"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log does not say %s:\n%s", part, log.String())
		}
	}
	m.must(m.agent.Start())
	if s, err := m.agent.Session(1); err != nil || s.State != "paused" {
		t.Errorf("after on_stop: disconnect the session is %+v, %v", s, err)
	}
}

// serviceManager receives what sd_notify sends.
func serviceManager(t *testing.T) (notified chan string, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	notified = make(chan string, 1000)
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			notified <- string(buffer[:n])
		}
	}()
	return notified, path
}

func expectNotified(t *testing.T, notified chan string, want string) {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case state := <-notified:
			if strings.HasPrefix(state, want) {
				return
			}
		case <-deadline:
			t.Fatalf("the service manager was not notified of %s", want)
		}
	}
}

// Whatever keeps the daemon from starting is one line that says what and why.
func TestDaemonDoesNotStart(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	m.must(os.Chmod(dir, 0o755))
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		m.must(os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	bad := write("bad.yaml", "interfaces: [br-lan]\nmax_client: 5\n")
	m.call("run", "--config", bad).expect(t, exit.Failed, bad+":2: max_client: unknown key (did you mean max_clients?)")
	m.call("run", "--config", dir+"/none.yaml").expect(t, exit.Failed, "no configuration file at "+dir+"/none.yaml")
	m.call("doctor", "--config", bad).expect(t, exit.Exposed, "fail  config", "3 checks failed: config, programs br-lan, agent")

	m.must(os.MkdirAll(dir+"/state", 0o700))
	m.must(os.Mkdir(dir+"/state/hotspot.db", 0o700))
	good := write("good.yaml", "interfaces: [br-lan]\nsocket: "+dir+"/a.sock\nstate_dir: "+dir+"/state\nbpffs: "+dir+"/bpf\n")
	m.call("run", "--config", good).expect(t, exit.Failed, "hotspot.db", "it is a file", "!agent is ready")
	m.call("doctor", "--config", good).expect(t, exit.Failed, "fail  database", "ok    programs br-lan") // no device passes
	m.call("detach", "--config", good).expect(t, exit.Done)
	m.must(os.Remove(dir + "/state/hotspot.db"))

	m.must(os.WriteFile(dir+"/a.sock", nil, 0o600))
	m.call("run", "--config", good).expect(t, exit.Failed, dir+"/a.sock")
	m.must(os.Remove(dir + "/a.sock"))
	group := write("group.yaml", "socket_group: no-such-group\nsocket: "+dir+"/a.sock\nstate_dir: "+dir+"/state\n")
	m.call("run", "--config", group).expect(t, exit.Failed, `"no-such-group"`)
	taken := write("taken.yaml", "metrics: {listen: '127.0.0.1:1'}\nsocket: "+dir+"/a.sock\nstate_dir: "+dir+"/state\n")
	busy, err := m.Router.Listen("127.0.0.1:1")
	m.must(err)
	m.call("run", "--config", taken).expect(t, exit.Failed, "metrics.listen", "127.0.0.1:1", "address already in use")
	m.must(busy.Close())

	if _, err := os.Stat("/sys/fs/bpf/hotspot-agent"); err == nil {
		t.Error("a start that failed left pins behind")
	}
}

// A caller without privileges gets an error that names them.
func TestDaemonNeedsRoot(t *testing.T) {
	m := newMachine(t)
	dir, err := os.MkdirTemp("", "hotspot-unprivileged") //nolint:usetesting // t.TempDir is closed to others
	m.must(err)
	t.Cleanup(func() { m.must(os.RemoveAll(dir)) })
	m.must(os.Chmod(dir, 0o755))
	self, err := os.Executable()
	m.must(err)
	text, err := os.ReadFile(self)
	m.must(err)
	program := filepath.Join(dir, exit.Program)
	m.must(os.WriteFile(program, text, 0o755))
	m.must(os.Mkdir(dir+"/own", 0o755))
	m.must(os.Chown(dir+"/own", 65534, 65534))
	config := filepath.Join(dir, "config.yaml")
	m.must(os.WriteFile(config, []byte("socket: "+dir+"/own/a.sock\nstate_dir: "+dir+"/own/state\nbpffs: "+dir+"/own/bpf\n"), 0o644))
	unprivileged := func(command string) result {
		cmd := exec.Command(program, command, "--config", config)
		cmd.Dir = dir
		cmd.Env = []string{actAsProgram + "=1"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return m.wait(cmd)
	}
	unprivileged("run").expect(t, exit.Failed, "not permitted: uid 65534", "run it as root")
	unprivileged("doctor").expect(t, exit.Failed, "fail  kernel", "run doctor as root")
}

// An interface that is not there yet is waited for, and said to be missing.
func TestDaemonWaitsForAnInterface(t *testing.T) {
	m := newMachine(t, "metrics: {listen: '127.0.0.1:9273'}")
	text, err := os.ReadFile(m.agent.Config())
	m.must(err)
	m.must(os.WriteFile(m.agent.Config(), []byte(strings.Replace(string(text), "[br-lan]", "[br-lan, wlan9]", 1)), 0o600))
	m.must(m.agent.Start())
	status, err := m.client().Status(t.Context())
	m.must(err)
	if metrics := m.scrape("127.0.0.1:9273"); !strings.Contains(metrics, `hotspot_health_problem{code="interface_absent",interface="wlan9"} 1`) {
		t.Error(metrics)
	}
	if status.Health.OK || len(status.Interfaces) != 2 || status.Interfaces[1].Attached || !strings.Contains(strings.Join(status.Health.Problems, " "), "wlan9") {
		t.Errorf("status %+v", status)
	}
	m.must(m.wait(exec.Command("nsenter", "--net="+m.Router.NetNS(), "ip", "link", "add", "wlan9", "type", "veth", "peer", "name", "wlan9p")).err())
	m.eventually("wlan9 is attached", func() bool {
		status, err := m.client().Status(t.Context())
		return err == nil && status.Health.OK && status.Interfaces[1].Attached
	})
	m.eventually("both events of the problem are stored", func() bool {
		events, err := m.client().StoredEvents(t.Context(), 0)
		m.must(err)
		var got []string
		for _, e := range events {
			if e.Reason == string(dataplane.InterfaceAbsent) && e.Interface == "wlan9" {
				got = append(got, string(e.Type))
			}
		}
		return slices.Equal(got, []string{"health.problem", "health.resolved"})
	})
	metrics := m.scrape("127.0.0.1:9273")
	for _, want := range []string{
		"hotspot_healthy 1\n", `hotspot_interface_attached{interface="wlan9"} 1`, `hotspot_dropped_frames_total{direction="up",reason="no_rule"} `,
		"hotspot_clients_max 4096\n", `hotspot_sessions{state="running"} 0`, "# TYPE hotspot_dropped_bytes_total counter\n", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %s:\n%s", want, metrics)
		}
	}
}

func (r result) err() error {
	if r.status != exit.Done {
		return errors.New(r.stderr)
	}
	return nil
}

func (m *machine) scrape(address string) string {
	m.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return m.Router.Dial(ctx, network, address)
	}}}
	response, err := client.Get("http://" + address + "/metrics")
	m.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	m.must(err)
	return string(text)
}
