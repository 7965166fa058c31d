// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"fmt"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// nftSubject is nftables done right: one lookup of the MAC or of the address for
// each of permission, limit and quota. A customer's quota is one object for both
// directions, and its limits are two.
var nftSubject = subject{name: "nft", enforce: func(ctx context.Context, r *router) error {
	return r.feed(ctx, nftScript(r.customers), "nft", "-f", "-")
}}

// nftSetSubject is the least enforcement: a set of the devices that paid, without limits
// and counters.
var nftSetSubject = subject{name: "nft set", enforce: func(ctx context.Context, r *router) error {
	var macs, ips strings.Builder
	for _, m := range r.customers {
		fmt.Fprintf(&macs, "%s,", m.MAC)
		fmt.Fprintf(&ips, "%s,", m.Addr4)
	}
	return r.feed(ctx, fmt.Sprintf(nftSetScript, macs.String(), ips.String()), "nft", "-f", "-")
}}

const nftSetScript = `table inet kiosk {
	set paid_mac { type ether_addr; elements = { %s } }
	set paid_ip { type ipv4_addr; elements = { %s } }
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "` + lab.Bridge + `" ether saddr @paid_mac accept
		oifname "` + lab.Bridge + `" ip daddr @paid_ip accept
	}
}
`

const nftRules = `
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "` + lab.Bridge + `" ether saddr @paid_mac jump up
		oifname "` + lab.Bridge + `" ip daddr @paid_ip jump down
	}
	chain up {
		limit name ether saddr map @up_limit drop
		quota name ether saddr map @mac_quota drop
		accept
	}
	chain down {
		limit name ip daddr map @down_limit drop
		quota name ip daddr map @ip_quota drop
		accept
	}
`

func nftScript(customers []lab.EmulatedCustomer) string {
	const maps = `
	set paid_mac { type ether_addr; elements = { %s } }
	set paid_ip { type ipv4_addr; elements = { %s } }
	map up_limit { type ether_addr : limit; elements = { %s } }
	map down_limit { type ipv4_addr : limit; elements = { %s } }
	map mac_quota { type ether_addr : quota; elements = { %s } }
	map ip_quota { type ipv4_addr : quota; elements = { %s } }
`
	var objects, macs, ips, ups, downs, macQuotas, ipQuotas strings.Builder
	for i, m := range customers {
		for _, direction := range []string{"up", "down"} {
			fmt.Fprintf(&objects, "\tlimit %s%d { rate over %d mbytes/second burst 250 mbytes; }\n", direction, i, speedBits/8/1_000_000)
		}
		fmt.Fprintf(&objects, "\tquota q%d { over %d mbytes; }\n", i, quotaBytes/1_000_000)
		fmt.Fprintf(&macs, "%s,", m.MAC)
		fmt.Fprintf(&ips, "%s,", m.Addr4)
		fmt.Fprintf(&ups, "%s : \"up%d\",", m.MAC, i)
		fmt.Fprintf(&downs, "%s : \"down%d\",", m.Addr4, i)
		fmt.Fprintf(&macQuotas, "%s : \"q%d\",", m.MAC, i)
		fmt.Fprintf(&ipQuotas, "%s : \"q%d\",", m.Addr4, i)
	}
	return "table inet kiosk {\n" + objects.String() +
		fmt.Sprintf(maps, macs.String(), ips.String(), ups.String(), downs.String(), macQuotas.String(), ipQuotas.String()) +
		nftRules + "}\n"
}
