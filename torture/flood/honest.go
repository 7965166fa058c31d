// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	portDNS = 53
	// askEvery is far within what one MAC may ask before paying.
	askEvery = 50 * time.Millisecond
	// answered is how soon an answer counts as one.
	answered = 100 * time.Millisecond
)

// asked counts the DNS queries and answers of an unpaid device, which needs them to reach the
// portal.
type asked struct{ questions, answers int }

// honest is how it went in all phases.
func honest(phases []phase) (sum asked) {
	for _, p := range phases {
		sum.questions += p.honest.questions
		sum.answers += p.honest.answers
	}
	return sum
}

func (a asked) share() float64 { return float64(a.answers) / float64(a.questions) }

func (a asked) String() string {
	return fmt.Sprintf("%d of %d queries of an unpaid device are answered", a.answers, a.questions)
}

// resolve has the router answer what is asked. The flooding device has a neighbour entry:
// answers that wait for its MAC would use up the resolver's buffer.
func (r *router) resolve() error {
	stop, err := r.kiosk.Router.ServeEcho(portDNS)
	if err != nil {
		return err
	}
	r.onClose(func() error { stop(); return nil })
	return r.kiosk.Router.Command("ip", "neigh", "add", unpaidAddr, "lladdr", unknownMAC.String(), "dev", lab.Bridge).Run()
}

// ask asks the router's resolver until ctx ends.
func (r *router) ask(ctx context.Context) (a asked, err error) {
	resolver := netip.AddrPortFrom(r.kiosk.Router.Addr4, portDNS)
	beat := time.NewTicker(askEvery)
	defer beat.Stop()
	for ctx.Err() == nil {
		answers, err := r.kiosk.Customers[2].Ping(resolver, 1, answered)
		if err != nil {
			return a, err
		}
		a.questions, a.answers = a.questions+1, a.answers+answers
		select {
		case <-ctx.Done():
		case <-beat.C:
		}
	}
	return a, nil
}
