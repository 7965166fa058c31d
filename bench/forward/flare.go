// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// flareSubject does what Flare does: verdict maps with a counter for each customer,
// which a daemon would read to find sessions that are used up, and a
// shaper with a class for each customer, on the bridge for downloads and on an ifb
// for uploads. The customer's class is found by u32 hash tables of the address.
// Where Flare's classes are of HFSC, these are of HTB, which kernels always have.
var flareSubject = subject{name: "flare", enforce: func(ctx context.Context, r *router) error {
	if err := r.feed(ctx, flareMaps(r.customers), "nft", "-f", "-"); err != nil {
		return err
	}
	if err := r.feed(ctx, "link add ifb-up type ifb\nlink set ifb-up up\n", "ip", "-batch", "-"); err != nil {
		return err
	}
	script := shaper(lab.Bridge, 16, r.customers) + shaper("ifb-up", 12, r.customers) +
		"qdisc add dev " + lab.Bridge + " handle ffff: ingress\n" +
		"filter add dev " + lab.Bridge + " parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev ifb-up\n"
	return r.feed(ctx, script, "tc", "-batch", "-")
}}

func flareMaps(customers []lab.EmulatedCustomer) string {
	var macs, ips strings.Builder
	for _, m := range customers {
		fmt.Fprintf(&macs, "%s counter : accept,", m.MAC)
		fmt.Fprintf(&ips, "%s counter : accept,", m.Addr4)
	}
	return fmt.Sprintf(`table ip internet {
	map macs { type ether_addr : verdict; counter; elements = { %s } }
	map ips { type ipv4_addr : verdict; counter; elements = { %s } }
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "%s" ether saddr vmap @macs
		oifname "%s" ip daddr vmap @ips
	}
}
`, macs.String(), ips.String(), lab.Bridge, lab.Bridge)
}

// shaper is a class for each customer, found by the address at an offset of the IP
// header: a table of the third byte's values leads to a table of the fourth's.
func shaper(device string, offset int, customers []lab.EmulatedCustomer) string {
	var tc strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&tc, format+"\n", args...) }
	say("qdisc add dev %s root handle 1: htb default 0", device)
	say("filter add dev %s parent 1: prio 1 protocol ip u32", device)
	tables := make(map[[3]byte]int)
	for i, m := range customers {
		address := m.Addr4.As4()
		network := [3]byte(address[:3])
		if tables[network] == 0 {
			tables[network] = len(tables) + 1
			id := tables[network]
			say("filter add dev %s parent 1: prio 1 handle %x: protocol ip u32 divisor 256", device, id)
			say("filter add dev %s parent 1: prio 1 protocol ip u32 ht 800:: match ip %s %d.%d.%d.0/24 hashkey mask 0xff at %d link %x:",
				device, map[int]string{12: "src", 16: "dst"}[offset], network[0], network[1], network[2], offset, id)
		}
		say("class add dev %s parent 1: classid 1:%x htb rate %dbit burst 1m quantum 60000", device, i+1, speedBits)
		say("filter add dev %s parent 1: prio 1 protocol ip u32 ht %x:%x: match ip %s %s/32 flowid 1:%x",
			device, tables[network], address[3], map[int]string{12: "src", 16: "dst"}[offset], m.Addr4, i+1)
	}
	return tc.String()
}
