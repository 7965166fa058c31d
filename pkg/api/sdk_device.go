// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Http is about requests that a portal receives.
type Http struct{ api *API }

// GetClientDevice returns the device that sent a request, by its remote address; the
// agent looks it up in the neighbour table, and registers it when it is new.
//
// Only when the remote end is the router itself (a loopback address, or a Unix
// socket) the request came through a proxy, and the last address in X-Forwarded-For
// that is not loopback counts: that proxy must append the client's, as they all do.
// From any other remote end the header is the customer's claim, and ignored.
func (h *Http) GetClientDevice(r *http.Request) (ClientDevice, error) {
	if r == nil {
		return nil, sessions.Invalidf("request", "nil is not a request")
	}
	ip, err := clientAddr(r)
	if err != nil {
		return nil, err
	}
	device, err := h.api.client.Resolve(r.Context(), ip.String())
	if err != nil {
		return nil, err
	}
	return h.api.wrap(device), nil
}

// wrap makes a ClientDevice of a device of the wire.
func (a *API) wrap(d Device) ClientDevice { return &clientDevice{api: a, now: d} }

type clientDevice struct {
	api *API
	mu  sync.Mutex
	now Device
}

func (d *clientDevice) snapshot() Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *clientDevice) Id() int64 { return d.snapshot().ID }

func (d *clientDevice) Hostname() string { return d.snapshot().Hostname }

func (d *clientDevice) IpAddr() string { return d.snapshot().IP }

func (d *clientDevice) MacAddr() string { return d.snapshot().MAC }

func (d *clientDevice) Update(ctx context.Context, mac, ip, hostname string) error {
	patch := DevicePatch{MAC: unlessEmpty(mac), IP: unlessEmpty(ip), Hostname: unlessEmpty(hostname)}
	updated, err := d.api.client.UpdateDevice(ctx, ref(d), patch)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.now = updated
	d.mu.Unlock()
	return nil
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (d *clientDevice) Emit(event string, data []byte) { d.api.hub.emit(d.Id(), event, data) }

func (d *clientDevice) Subscribe(event string) <-chan []byte {
	ch := d.api.hub.subscribe(d.Id(), event)
	d.api.ensureLink()
	return ch
}

func (d *clientDevice) Unsubscribe(event string, ch <-chan []byte) {
	d.api.hub.unsubscribe(d.Id(), event, ch)
}

// ref names a device to the client: a visitor by its MAC, as its id is forgotten when the
// agent restarts.
func ref(d ClientDevice) string {
	if own, ok := d.(*clientDevice); ok {
		if now := own.snapshot(); now.Visitor {
			return now.MAC
		}
	}
	return strconv.FormatInt(d.Id(), 10)
}

func refOf(clnt ClientDevice) (string, error) {
	if clnt == nil {
		return "", sessions.Invalidf("clnt", "nil is not a device")
	}
	return ref(clnt), nil
}
