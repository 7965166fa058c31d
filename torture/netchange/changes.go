// SPDX-License-Identifier: Apache-2.0

package netchange

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// group is changes that cost the same.
type group struct {
	name    string
	lossy   bool // packets are dropped: without an interface, while the kernel changes qdiscs, while ours moves
	once    bool // repeated, it becomes a contest that the agent slows down
	changes []change
}

// change is something that another program does to the router's network.
type change struct {
	name    string
	mode    string // of attaching, in which it is possible; "": both
	exposes bool   // the programs are detached for a short time
	do      func(*trial) error
}

var groups = []group{
	{"interface changed", true, false, []change{
		{"bridge deleted and made again", "", true, (*trial).recreateBridge},
		{"port unplugged", "", false, (*trial).unplugPort},
		{"interface renamed and back", "", false, (*trial).renameBridge},
		{"clsact qdisc made and deleted", "tcx", false, batch("tc", "qdisc add dev br-lan clsact", "qdisc del dev br-lan clsact")},
		{"clsact qdisc deleted", "clsact", true, batch("tc", "qdisc del dev br-lan clsact")},
		{"root qdisc replaced", "", false, batch("tc", "qdisc replace dev br-lan root pfifo", "qdisc del dev br-lan root")},
	}},
	{"programs taken off", false, false, []change{
		{"links detached", "tcx", true, (*trial).detachLinks},
		{"filters deleted", "clsact", true, batch("tc", "filter del dev br-lan ingress", "filter del dev br-lan egress")},
	}},
	{"another program in front", true, true, []change{
		{"link at the head", "tcx", true, (*trial).linkInFront},
		{"filter at the head", "clsact", true, (*trial).filterInFront},
	}},
	{"a second copy", false, false, []change{
		{"another agent on the bridge", "", false, (*trial).secondAgent},
	}},
}

// batch has one ip(8) or tc(8) do everything, as fast as a network manager.
func batch(program string, lines ...string) func(*trial) error {
	return func(t *trial) error {
		cmd := t.Kiosk.Router.Command(program, "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s -batch %q: %w: %s", program, lines, err, bytes.TrimSpace(out))
		}
		return nil
	}
}

func (t *trial) ip(lines ...string) error { return batch("ip", lines...)(t) }

// later waits as long as a person or a network manager may take.
func (t *trial) later() { time.Sleep(time.Duration(t.random.Int64N(int64(200 * time.Millisecond)))) }

// recreateBridge sets the new bridge up before or after its ports are moved.
func (t *trial) recreateBridge() error {
	if err := t.ip("link del " + lab.Bridge); err != nil {
		return err
	}
	t.later()
	lines := []string{
		"link add " + lab.Bridge + " address " + t.Kiosk.Router.MAC.String() + " type bridge mcast_snooping 0",
		"addr add " + lab.RouterLAN4 + "/24 dev " + lab.Bridge,
		"addr add " + lab.RouterLAN6 + "/64 dev " + lab.Bridge,
	}
	up := "link set " + lab.Bridge + " up"
	first := t.random.IntN(2) == 0
	if first {
		lines = append(lines, up)
	}
	for i := range t.customers {
		lines = append(lines, "link set "+t.Kiosk.Port(i)+" master "+lab.Bridge)
	}
	if !first {
		lines = append(lines, up)
	}
	return t.ip(lines...)
}

func (t *trial) unplugPort() error {
	port := t.Kiosk.Port(0)
	if err := t.ip("link set "+port+" down", "link set "+port+" nomaster"); err != nil {
		return err
	}
	t.later()
	return t.ip("link set "+port+" master "+lab.Bridge, "link set "+port+" up")
}

func (t *trial) renameBridge() error {
	const away = "br-away"
	if err := t.ip("link set "+lab.Bridge+" down", "link set "+lab.Bridge+" name "+away, "link set "+away+" up"); err != nil {
		return err
	}
	t.later()
	return t.ip("link set "+away+" down", "link set "+away+" name "+lab.Bridge, "link set "+lab.Bridge+" up")
}

// detachLinks breaks the links, by bpf(2): tc cannot.
func (t *trial) detachLinks() error {
	pins, err := filepath.Glob(filepath.Join(t.Agent.Dir(), "bpf", "links", "*"))
	if err != nil || len(pins) == 0 {
		return errors.Join(err, os.ErrNotExist)
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return err
		}
		if err := errors.Join(l.Detach(), l.Close()); err != nil {
			return err
		}
	}
	return nil
}
