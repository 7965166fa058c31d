// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
)

const (
	mtu      = 1500
	ethernet = 14
	payload  = 1448 // of a full TCP segment with time stamps
)

// subject is a way to limit a customer's speed.
type subject struct {
	name string
	// full is the bytes charged for a full TCP segment.
	full float64
	// limit holds the one customer of a kiosk to bits per second, both ways.
	limit func(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error)
}

// most is the share of the limit that TCP's payload can reach.
func (s subject) most() float64 { return payload / s.full }

// limit is a limit in force.
type limit interface {
	// passed is the bytes charged up to now, of downloads and of uploads.
	passed(ctx context.Context) (down, up uint64, err error)
	close() error
}

// subjects are the agent's limiters and the shaper that they are measured against.
func subjects(binary string) []subject {
	return []subject{agentSubject(binary, "fair"), agentSubject(binary, "bucket"), htbSubject}
}

// agentSubject is the real daemon with one of its limiters. It charges IP packets.
func agentSubject(binary, limiter string) subject {
	return subject{name: limiter, full: mtu, limit: func(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error) {
		daemon, err := rig.New(k, binary, "limiter: "+limiter)
		if err != nil {
			return nil, err
		}
		a := &agent{daemon: daemon, api: daemon.API(), device: k.Customers[0].MAC.String()}
		err = daemon.Start()
		if err == nil {
			err = a.sell(ctx, bitsPerSecond)
		}
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		return a, nil
	}}
}

type agent struct {
	daemon *rig.Agent
	api    *rig.API
	device string // MAC
}

func (a *agent) sell(ctx context.Context, bitsPerSecond float64) error {
	const plenty = 1e15
	session := map[string]any{
		"device": a.device, "type": "data", "data_bytes": uint64(plenty),
		"down_bps": uint64(bitsPerSecond), "up_bps": uint64(bitsPerSecond),
	}
	if err := a.api.Call(ctx, "POST", "/sessions", session, nil); err != nil {
		return err
	}
	return a.api.Call(ctx, "POST", "/devices/"+a.device+"/connect", nil, nil)
}

func (a *agent) passed(ctx context.Context) (down, up uint64, err error) {
	var s rig.Status
	err = a.api.Call(ctx, "GET", "/devices/"+a.device+"/status", nil, &s)
	return s.Traffic.DownBytes, s.Traffic.UpBytes, err
}

func (a *agent) close() error {
	a.api.Close()
	return a.daemon.Close()
}

// htbSubject is the kernel's shaper: a class with a queue of 100 ms, downloads on
// the bridge, uploads on an ifb that the bridge's come through. It charges frames.
var htbSubject = subject{name: "htb", full: mtu + ethernet, limit: func(_ context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error) {
	const ifb = "ifb0"
	h := htb{k.Router, [2]string{lab.Bridge, ifb}}
	script := []string{
		"ip link add " + ifb + " type ifb",
		"ip link set " + ifb + " up",
		"tc qdisc add dev " + lab.Bridge + " handle ffff: ingress",
		"tc filter add dev " + lab.Bridge + " parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev " + ifb,
	}
	queue, burst := int(bitsPerSecond/8/10), max(int(bitsPerSecond/8/100), mtu+ethernet)
	for _, device := range h.devices {
		script = append(script,
			"tc qdisc add dev "+device+" root handle 1: htb default 10",
			fmt.Sprintf("tc class add dev %s parent 1: classid 1:10 htb rate %.0fbit burst %d cburst %d", device, bitsPerSecond, burst, burst),
			fmt.Sprintf("tc qdisc add dev %s parent 1:10 bfifo limit %d", device, queue),
		)
	}
	for _, command := range script {
		words := strings.Fields(command)
		if out, err := h.router.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return h, nil
}}

type htb struct {
	router  *lab.Host
	devices [2]string
}

func (h htb) passed(context.Context) (down, up uint64, err error) {
	var bytes [2]uint64
	for i, device := range h.devices {
		if bytes[i], err = h.router.ClassBytes(device); err != nil {
			return 0, 0, err
		}
	}
	return bytes[0], bytes[1], nil
}

// close has nothing to do: qdiscs go with the lab.
func (htb) close() error { return nil }
