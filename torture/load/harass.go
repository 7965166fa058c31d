// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// stuckEach is how many clients get stuck in each way.
const stuckEach = 24

// subscriber is the request of a client that never reads its events.
const subscriber = "GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n"

// stuckIn is what others say before they fall silent, neither reading nor writing.
var stuckIn = []string{
	"GET /v1/status HTTP/1.1\r\nHost: agent\r\nX-Half",
	"POST /v1/sessions HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"dev",
	"GET /v1/sessions HTTP/1.1\r\nHost: agent\r\n\r\n",
}

// harassment is clients that do what they can until it is stopped.
type harassment struct {
	kiosk   kiosk
	began   time.Time
	took    time.Duration
	end     context.CancelFunc
	group   sync.WaitGroup
	calls   atomic.Uint64
	stuck   []net.Conn
	deaf    []net.Conn // subscribers
	mu      sync.Mutex
	bought  []int64
	failure error
}

// harass starts clients that get stuck, and buyers that do not.
func (k kiosk) harass(ctx context.Context, customers int) (*harassment, error) {
	ctx, cancel := context.WithCancel(ctx)
	h := &harassment{kiosk: k, began: time.Now(), end: cancel}
	for range stuckEach {
		for _, text := range stuckIn {
			h.say(ctx, &h.stuck, text)
		}
		h.say(ctx, &h.deaf, subscriber)
	}
	if h.failure != nil {
		return nil, errors.Join(h.stop(), h.release())
	}
	for i := range buyers {
		h.group.Go(func() { h.buy(ctx, i, customers) })
	}
	return h, nil
}

// say leaves a connection open on which a client has said something.
func (h *harassment) say(ctx context.Context, in *[]net.Conn, text string) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", h.kiosk.Agent.Socket())
	if err == nil {
		*in = append(*in, conn)
		_, err = io.WriteString(conn, text)
	}
	if err != nil {
		h.fail(err)
	}
}

// buy asks, and buys, for one customer of the crowd after another.
func (h *harassment) buy(ctx context.Context, first, customers int) {
	const asked = 8 // times for each purchase
	for n := first; ctx.Err() == nil; n += buyers {
		device := lab.EmulatedMAC(n % customers).String()
		err := h.purchase(context.WithoutCancel(ctx), device)
		for range asked {
			err = errors.Join(err, h.kiosk.API.Call(context.WithoutCancel(ctx), "GET", "/devices/"+device+"/status", nil, nil))
		}
		if err != nil {
			h.fail(err)
			return
		}
		h.calls.Add(1 + asked)
	}
}

func (h *harassment) purchase(ctx context.Context, device string) error {
	var bought struct{ ID int64 }
	err := h.kiosk.API.Call(ctx, "POST", "/sessions", map[string]any{"device": device, "type": "time", "time_secs": 60}, &bought)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bought = append(h.bought, bought.ID)
	return nil
}

func (h *harassment) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failure = errors.Join(h.failure, fmt.Errorf("beside stuck clients: %w", err))
}

// stop ends the buyers, and the subscribers, which may be silent for any time.
func (h *harassment) stop() error {
	h.end()
	h.group.Wait()
	h.took = time.Since(h.began)
	h.kiosk.API.Close()
	return errors.Join(h.failure, closeAll(h.deaf))
}

// release ends the others, which the agent may have disconnected already.
func (h *harassment) release() error { return closeAll(h.stuck) }

func closeAll(conns []net.Conn) (err error) {
	for _, conn := range conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

func (h *harassment) perSecond() float64 { return float64(h.calls.Load()) / h.took.Seconds() }

// answered is the purchases that were answered.
func (h *harassment) answered() []int64 { return slices.Clone(h.bought) }
