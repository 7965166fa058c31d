// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	sinkPort    = 9000
	packetBytes = 1000
	burst       = 10                     // packets
	beat        = 100 * time.Millisecond // between bursts
	pace        = 20 * time.Millisecond  // between purchases
	checkpoint  = 2 * time.Second
)

// Guest is what the virtual machine runs, as its first process: a kiosk in which the
// agent sells, and a customer has traffic. What was answered and what was carried it
// says on the console, the only thing that outlives the power. It never returns.
func Guest() {
	console := &console{}
	console.say("FAILED %v", open(console))
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// console is the serial line.
type console struct{ mu sync.Mutex }

// say returns when the line has left the machine.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Printf("\n@"+format+" .\n", args...) // the end marks a complete line
	const drain = 1
	_ = unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, drain)
}

// open opens the kiosk, and returns only when something fails.
func open(c *console) error {
	if err := prepare(); err != nil {
		return err
	}
	l, err := lab.New("hs-vm")
	if err != nil {
		return err
	}
	k, err := l.Kiosk(lab.KioskConfig{Customers: 2})
	if err != nil {
		return err
	}
	c.say("BOOTED")
	// The verifier takes its time with the other limiter on a machine that is emulated.
	agent, err := harness.New(k, "/bin/hotspot-agent", "limiter: bucket", "checkpoint: "+checkpoint.String(), "after_reboot: "+parameter("after_reboot"))
	if err != nil {
		return err
	}
	state := filepath.Dir(agent.Database())
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", state, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	if err := start(agent); err != nil {
		return fmt.Errorf("%w\n%s", err, agent.Log())
	}
	shop := &shop{console: c, kiosk: k, api: agent.API()}
	if strings.Contains(agent.Log(), "damaged") {
		c.say("DAMAGED %s", strings.ReplaceAll(agent.Log(), "\n", " | "))
	}
	return shop.run()
}

// start is more patient than the harness's Start, which fails while the agent is still starting.
func start(agent *harness.Agent) error {
	err := agent.Start()
	api := agent.API()
	defer api.Close()
	for deadline := time.Now().Add(patience / 2); err != nil && time.Now().Before(deadline); time.Sleep(beat) {
		err = api.Call(context.Background(), "GET", "/status", nil, nil)
	}
	return err
}

// prepare mounts what a system has, and waits for the disk.
func prepare() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"bpf", "/sys/fs/bpf"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	if err := os.Setenv("PATH", "/bin"); err != nil {
		return err
	}
	for _, module := range []string{"virtio_pci", "virtio_blk", "veth", "bridge", "sch_ingress", "cls_bpf"} {
		if out, err := exec.Command("/bin/busybox", "modprobe", module).CombinedOutput(); err != nil {
			return fmt.Errorf("modprobe %s: %w: %s", module, err, out)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat("/dev/vda"); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// parameter is one of the kernel's command line.
func parameter(name string) string {
	line, _ := os.ReadFile("/proc/cmdline")
	for word := range strings.FieldsSeq(string(line)) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// shop sells and has traffic until the power fails.
type shop struct {
	*console
	kiosk *lab.Kiosk
	api   *harness.API
}

// run continues until something fails.
func (s *shop) run() error {
	main, err := s.report()
	if err != nil {
		return err
	}
	if main == 0 {
		var sold harness.Session
		err := s.call("POST", "/sessions", map[string]any{
			"device": s.kiosk.Customers[0].MAC.String(), "type": "time_or_data", "time_secs": 10_000_000, "data_bytes": 1e12, "exp_days": 2,
		}, &sold)
		if err != nil {
			return err
		}
		s.say("BOUGHT %d %d", sold.ID, sold.TimeSecs)
	}
	if err := s.call("POST", "/devices/"+s.kiosk.Customers[0].MAC.String()+"/connect", nil, nil); err != nil {
		return err
	}
	s.say("CONNECTED")
	go func() { s.say("FAILED traffic: %v", s.traffic()) }()
	return s.sell()
}

func (s *shop) call(method, path string, body, into any) error {
	return s.api.Call(context.Background(), method, path, body, into)
}

// report prints what the agent found in its database. The first purchase is the
// customer's with traffic.
func (s *shop) report() (main int64, err error) {
	var rows []harness.Session
	if err := s.call("GET", "/sessions", nil, &rows); err != nil {
		return 0, err
	}
	for i, r := range rows {
		if i == 0 {
			main = r.ID
		}
		s.say("ROW %d %s %d %d %d", r.ID, r.State, r.TimeSecs, r.TimeUsedSecs, r.DataUsedBytes)
	}
	s.say("ROWS %d", len(rows))
	return main, nil
}

// sell sells to the other customer, and tops up, until something fails.
func (s *shop) sell() error {
	for n := int64(1); ; n++ {
		time.Sleep(pace)
		var sold harness.Session
		err := s.call("POST", "/sessions", map[string]any{"device": s.kiosk.Customers[1].MAC.String(), "type": "time", "time_secs": 1000 + n}, &sold)
		if err != nil {
			return fmt.Errorf("sell: %w", err)
		}
		s.say("BOUGHT %d %d", sold.ID, sold.TimeSecs)
		if n%3 == 0 {
			if err := s.call("PATCH", fmt.Sprintf("/sessions/%d", sold.ID), map[string]any{"add_time_secs": 500}, &sold); err != nil {
				return fmt.Errorf("top up: %w", err)
			}
			s.say("BOUGHT %d %d", sold.ID, sold.TimeSecs)
		}
	}
}

// traffic says what it will send before it does, and what arrived.
func (s *shop) traffic() error {
	customer := s.kiosk.Customers[0]
	sink, err := customer.Sink("udp4", sinkPort)
	if err != nil {
		return err
	}
	conn, err := s.kiosk.Server.Dial(context.Background(), "udp", netip.AddrPortFrom(customer.Addr4, sinkPort).String())
	if err != nil {
		return err
	}
	payload := make([]byte, packetBytes-lab.UDPOverIPv4)
	for total := uint64(0); ; time.Sleep(beat) {
		total += burst * packetBytes
		s.say("WILL %d", total)
		for range burst {
			if _, err := conn.Write(payload); err != nil {
				return err
			}
		}
		s.say("GOT %d %d", sink.Read().Bytes, lab.Boottime().Milliseconds())
	}
}
