// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type deviceHandlers struct{ backend }

// onOne is the query of a route about one device: of which interface its IP is.
var onOne = []string{"interface"}

func (h deviceHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/devices", query: listArgs, handler: h.list},
		{method: "POST", path: "/v1/devices", handler: h.create},
		{method: "GET", path: "/v1/devices/{device}", query: onOne, handler: h.get},
		{method: "PATCH", path: "/v1/devices/{device}", query: onOne, handler: h.update},
		{method: "DELETE", path: "/v1/devices/{device}", query: onOne, handler: h.delete},
		{method: "POST", path: "/v1/devices/{device}/connect", query: onOne, handler: h.connect},
		{method: "POST", path: "/v1/devices/{device}/disconnect", query: onOne, handler: h.disconnect},
		{method: "GET", path: "/v1/devices/{device}/status", query: onOne, handler: h.status},
		{method: "GET", path: "/v1/devices/{device}/session", query: onOne, handler: h.currentSession},
		{method: "GET", path: "/v1/devices/{device}/available-session", query: onOne, handler: h.availableSession, writesOnRead: true},
		{method: "GET", path: "/v1/resolve", query: []string{"ip", "interface"}, handler: h.resolve, writesOnRead: true},
	}
}

func (h deviceHandlers) list(c *call) (*reply, error) {
	query, err := listQueryFrom(c.args)
	if err != nil {
		return nil, err
	}
	read := func(after int64, limit int) ([]sessions.Device, error) {
		return h.rules.Devices(c.Context(), sessions.DeviceFilter{
			Query: query.match, Since: query.since, Newest: query.newest, After: sessions.DeviceID(after), Limit: limit,
		})
	}
	return list(h.backend, c, query, read, func(d sessions.Device) int64 { return int64(d.ID) }, deviceOf)
}

// create answers 201 for a new device and 200 for one that was known.
func (h deviceHandlers) create(c *call) (*reply, error) {
	spec, err := newDeviceFrom(c.body)
	if err != nil {
		return nil, err
	}
	_, lookup := h.agent.FindDevice(c.Context(), spec.MAC)
	device, err := h.rules.CreateDevice(c.Context(), spec)
	if err != nil {
		return nil, err
	}
	answer, err := created(fmt.Sprintf("/v1/devices/%d", device.ID), deviceOf(device))
	if lookup == nil {
		answer.status = 200
	}
	return answer, err
}

func (h deviceHandlers) get(c *call) (*reply, error) {
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func (h deviceHandlers) update(c *call) (*reply, error) {
	patch, err := devicePatchFrom(c.body)
	if err != nil {
		return nil, err
	}
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	if device, err = h.rules.UpdateDevice(c.Context(), device.ID, patch); err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func (h deviceHandlers) delete(c *call) (*reply, error) {
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	if err := h.rules.DeleteDevice(c.Context(), device.ID); err != nil {
		return nil, err
	}
	return done()
}

func (h deviceHandlers) resolve(c *call) (*reply, error) {
	ip, ifname, isIP := sessions.SplitAddress(onInterface(c, c.args.Get("ip")))
	if !isIP {
		return nil, sessions.Invalidf("ip", "%q is not an IP address", c.args.Get("ip"))
	}
	device, err := h.agent.Resolve(c.Context(), ip, ifname)
	if err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func newDeviceFrom(body []byte) (sessions.DeviceSpec, error) {
	o := wire.ReadObject(body, "mac", "ip", "hostname")
	spec := sessions.DeviceSpec{MAC: o.String("mac"), IP: o.String("ip"), Hostname: o.String("hostname")}
	return spec, o.Err()
}

func devicePatchFrom(body []byte) (sessions.DevicePatch, error) {
	o := wire.ReadObject(body, "mac", "ip", "hostname")
	patch := sessions.DevicePatch{
		MAC:      wire.Optional(o, "mac", o.String),
		IP:       wire.Optional(o, "ip", o.String),
		Hostname: wire.Optional(o, "hostname", o.String),
	}
	return patch, o.Err()
}

type verb = func(context.Context, sessions.DeviceID, string) (sessions.Status, error)

func (h deviceHandlers) connect(c *call) (*reply, error) { return h.verb(c, h.rules.Connect) }

func (h deviceHandlers) disconnect(c *call) (*reply, error) { return h.verb(c, h.rules.Disconnect) }

func (h deviceHandlers) verb(c *call, do verb) (*reply, error) {
	notify, err := notifyFrom(c.body)
	if err != nil {
		return nil, err
	}
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	status, err := do(c.Context(), device.ID, notify)
	if err != nil {
		return nil, err
	}
	return ok(statusOf(status))
}

func (h deviceHandlers) status(c *call) (*reply, error) {
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	status, err := h.rules.Status(c.Context(), device.ID)
	if err != nil {
		return nil, err
	}
	return ok(statusOf(status))
}

func notifyFrom(body []byte) (string, error) {
	o := wire.ReadObject(body, "notify")
	return o.String("notify"), o.Err()
}

func (h deviceHandlers) currentSession(c *call) (*reply, error) {
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	session, err := h.rules.Current(c.Context(), device.ID)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

// availableSession answers with the running session of a connected device, else with
// the one that Connect would start.
func (h deviceHandlers) availableSession(c *call) (*reply, error) {
	device, err := h.find(c)
	if err != nil {
		return nil, err
	}
	session, err := h.rules.Current(c.Context(), device.ID)
	if sessions.CodeOf(err) == sessions.NotConnected {
		session, err = h.rules.Next(c.Context(), device.ID)
	}
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func deviceOf(d sessions.Device) api.Device {
	ips := make([]string, 0, len(d.IPs))
	for _, ip := range d.IPs {
		ips = append(ips, ip.String())
	}
	latest := ""
	if len(ips) > 0 {
		latest = ips[0]
	}
	return api.Device{
		ID: int64(d.ID), MAC: d.MAC.String(), IP: latest, IPs: ips,
		Hostname: d.Hostname, CreatedAt: d.Created.UTC(), Visitor: d.Visitor,
	}
}

func statusOf(s sessions.Status) api.DeviceStatus {
	out := api.DeviceStatus{Device: deviceOf(s.Device), Connected: s.Connected, Traffic: trafficOf(s.Traffic)}
	if s.Session != nil {
		running := sessionOf(*s.Session)
		out.Session = &running
	}
	return out
}

func trafficOf(t sessions.Traffic) api.Traffic {
	return api.Traffic{
		UpBytes: t.UpBytes, DownBytes: t.DownBytes, UpPackets: t.UpPackets, DownPackets: t.DownPackets,
		DroppedPackets: t.DroppedPackets, UpBPS: t.UpBPS, DownBPS: t.DownBPS, LastSeen: wire.TimeOf(t.LastSeen),
	}
}
