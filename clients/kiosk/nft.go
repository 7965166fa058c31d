// SPDX-License-Identifier: Apache-2.0

package kiosk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// OpenNFT builds a kiosk with nftables and a redirecting server in the agent's place, as most
// hotspots have. The caller closes it.
func OpenNFT(ctx context.Context, o report.Options) (*Kiosk, error) {
	k, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Portal, http.StatusFound) }
	err = errors.Join(
		k.serve(k.Router, fmt.Sprintf("[::]:%d", redirectPort), http.HandlerFunc(redirect)),
		k.nft(fmt.Sprintf(nftRules, redirectPort)))
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

const redirectPort = 2050

// The quota is one object for both directions, and what is beyond it is dropped.
const nftRules = `table inet kiosk {
	set paid { type ether_addr; }
	quota balance { over 20 mbytes }
	chain redirected {
		type nat hook prerouting priority dstnat;
		iifname "` + lab.Bridge + `" ether saddr != @paid fib daddr type != local tcp dport 80 redirect to :%d
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		quota name "balance" drop
		iifname "` + lab.Bridge + `" ether saddr @paid accept
		oifname "` + lab.Bridge + `" ct state established,related accept
	}
}
`

// Admit lets the customer pass, until the balance of nft is used up.
func (k *Kiosk) Admit() error {
	return k.nft(fmt.Sprintf("add element inet kiosk paid { %s }", k.Customers[0].MAC))
}

func (k *Kiosk) nft(script string) error {
	cmd := k.Router.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
