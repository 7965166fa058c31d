// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const ifb = "ifb0"

// htbSubject is the kernel's shaper: a class with a queue of 100 ms, downloads on
// the bridge, uploads on an ifb that the bridge's come through. It charges frames.
var htbSubject = subject{name: "htb", full: mtu + ethernet, limit: func(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error) {
	h := htb{k.Router, [2]string{lab.Bridge, ifb}}
	err := h.run(
		"ip link add "+ifb+" type ifb",
		"ip link set "+ifb+" up",
		"tc qdisc add dev "+lab.Bridge+" handle ffff: ingress",
		"tc filter add dev "+lab.Bridge+" parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev "+ifb,
		"tc qdisc add dev "+lab.Bridge+" root handle 1: htb default 10",
		"tc qdisc add dev "+ifb+" root handle 1: htb default 10",
	)
	if err == nil {
		err = h.change(ctx, bitsPerSecond)
	}
	return h, err
}}

type htb struct {
	router  *lab.Host
	devices [2]string // of downloads and of uploads
}

func (h htb) change(_ context.Context, bitsPerSecond float64) error {
	const queue, burst = 0.1, 0.01 // seconds
	bytesPerSecond := bitsPerSecond / 8
	for _, device := range h.devices {
		bytes := max(burst*bytesPerSecond, mtu+ethernet)
		err := h.run(
			fmt.Sprintf("tc class replace dev %s parent 1: classid 1:10 htb rate %.0fbit burst %.0f cburst %.0f", device, bitsPerSecond, bytes, bytes),
			fmt.Sprintf("tc qdisc replace dev %s parent 1:10 handle 10: bfifo limit %.0f", device, queue*bytesPerSecond),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs commands in the router.
func (h htb) run(commands ...string) error {
	for _, command := range commands {
		words := strings.Fields(command)
		if out, err := h.router.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
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
