// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type sessionHandlers struct{ backend }

func (h sessionHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/sessions", query: append([]string{"device", "state", "interface", "reference"}, listArgs...), handler: h.list},
		{method: "POST", path: "/v1/sessions", query: onOne, handler: h.create, sold: bought},
		{method: "GET", path: "/v1/sessions/{id}", handler: h.get},
		{method: "PATCH", path: "/v1/sessions/{id}", query: onOne, handler: h.update, sold: changed},
		{method: "DELETE", path: "/v1/sessions/{id}", handler: h.delete, sold: deleted},
	}
}

func (h sessionHandlers) list(c *call) (*reply, error) {
	filter, err := h.filterFrom(c)
	if err != nil {
		return nil, err
	}
	query, err := listQueryFrom(c.args)
	if err != nil {
		return nil, err
	}
	filter.Query, filter.Since, filter.Newest = query.match, query.since, query.newest
	read := func(after int64, limit int) ([]sessions.Session, error) {
		filter.After, filter.Limit = sessions.SessionID(after), limit
		return h.rules.Sessions(c.Context(), filter)
	}
	return list(h.backend, c, query, read, func(s sessions.Session) int64 { return int64(s.ID) }, sessionOf)
}

func (h sessionHandlers) filterFrom(c *call) (sessions.SessionFilter, error) {
	var filter sessions.SessionFilter
	for _, list := range c.args["state"] {
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(sessions.States(), sessions.State(name)) {
				return filter, sessions.Invalidf("state", "%q is not a state (want some of %v)", name, sessions.States())
			}
			filter.States = append(filter.States, sessions.State(name))
		}
	}
	if c.args.Has("reference") {
		filter.Reference = c.args.Get("reference")
		if err := sessions.CheckReference(filter.Reference); err != nil || filter.Reference == "" {
			return filter, cmp.Or(err, error(sessions.Invalidf("reference", "it is empty")))
		}
	}
	if ref := c.args.Get("device"); ref != "" {
		device, err := h.agent.FindDevice(c.Context(), onInterface(c, ref))
		if err != nil {
			return filter, err
		}
		filter.Device = device.ID
	}
	return filter, nil
}

func (h sessionHandlers) create(c *call) (*reply, error) {
	spec, ref, err := newSessionFrom(c.body)
	if err != nil {
		return nil, err
	}
	if err := sessions.CheckSpec(spec); err != nil {
		return nil, err
	}
	if spec.Device, err = h.deviceOrNew(c, ref); err != nil {
		return nil, err
	}
	session, err := h.rules.CreateSession(c.Context(), spec)
	if err != nil {
		return nil, err
	}
	return bought(session), nil
}

// bought, changed and deleted are the answers to what is done to a session.
func bought(p sessions.Purchase) *reply {
	return &reply{status: http.StatusCreated, location: fmt.Sprintf("/v1/sessions/%d", p.ID), body: purchaseOf(p)}
}

func changed(p sessions.Purchase) *reply {
	return &reply{status: http.StatusOK, body: sessionOf(p.Session)}
}

func deleted(sessions.Purchase) *reply { return &reply{status: http.StatusNoContent} }

// newSessionFrom returns the session without its device, and the device as the
// caller named it.
func newSessionFrom(body []byte) (sessions.SessionSpec, string, error) {
	o := wire.ReadObject(body, "device", "type", "time_secs", "data_bytes", "exp_days", "down_bps", "up_bps", "use_global_speed", "reference")
	ref := o.DeviceRef("device")
	if !o.Has("type") {
		o.Fail("type", "missing (want time, data or time_or_data)")
	}
	spec := sessions.SessionSpec{
		Type: o.SessionType("type"), Time: o.Secs("time_secs"), Bytes: o.Amount("data_bytes"),
		ExpDays: o.ExpDays(), DownBPS: o.Amount("down_bps"), UpBPS: o.Amount("up_bps"),
		UseGlobalSpeed: o.Bool("use_global_speed"), Reference: o.String("reference"),
	}
	return spec, ref, o.Err()
}

func (h sessionHandlers) get(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	session, err := h.rules.Session(c.Context(), id)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (h sessionHandlers) update(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	patch, to, err := sessionPatchFrom(c.body)
	if err != nil {
		return nil, err
	}
	if to != "" {
		return h.move(c, id, to)
	}
	session, err := h.rules.UpdateSession(c.Context(), id, patch)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (h sessionHandlers) move(c *call, id sessions.SessionID, to string) (*reply, error) {
	if _, err := h.rules.Session(c.Context(), id); err != nil {
		return nil, err
	}
	device, err := h.deviceOrNew(c, to)
	if err != nil {
		return nil, err
	}
	session, err := h.rules.MoveSession(c.Context(), id, device)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

// sessionPatchFrom returns the changes, or the device that the session goes to.
func sessionPatchFrom(body []byte) (patch sessions.SessionPatch, to string, err error) {
	o := wire.ReadObject(body, "device", "type", "time_secs", "data_bytes", "add_time_secs", "add_data_bytes",
		"time_used_secs", "data_used_bytes", "add_time_used_secs", "add_data_used_bytes", "started_at", "exp_days", "down_bps", "up_bps", "use_global_speed")
	if o.Has("device") {
		if to = o.DeviceRef("device"); o.Len() > 1 {
			o.Fail("device", "%q: moving a session to another device cannot be combined with other changes", to)
		}
		return patch, to, o.Err()
	}
	patch = sessions.SessionPatch{
		Type: wire.Optional(o, "type", o.SessionType),
		Time: wire.Optional(o, "time_secs", o.Secs), AddTime: wire.Optional(o, "add_time_secs", o.Secs),
		TimeUsed: wire.Optional(o, "time_used_secs", o.Secs), AddTimeUsed: wire.Optional(o, "add_time_used_secs", o.Secs),
		Started: wire.Optional(o, "started_at", o.Time),
		Bytes:   wire.Optional(o, "data_bytes", o.Amount), AddBytes: wire.Optional(o, "add_data_bytes", o.Amount),
		Used: wire.Optional(o, "data_used_bytes", o.Amount), AddUsed: wire.Optional(o, "add_data_used_bytes", o.Amount),
		DownBPS: wire.Optional(o, "down_bps", o.Amount), UpBPS: wire.Optional(o, "up_bps", o.Amount),
		UseGlobalSpeed: wire.Optional(o, "use_global_speed", o.Bool),
	}
	if o.Has("exp_days") || o.HasNull("exp_days") {
		days := o.ExpDays()
		patch.ExpDays = &days
	}
	return patch, "", o.Err()
}

func (h sessionHandlers) delete(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	if err := h.rules.DeleteSession(c.Context(), id); err != nil {
		return nil, err
	}
	return done()
}

func sessionID(c *call) (sessions.SessionID, error) {
	text := c.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, sessions.Invalidf("id", "%q is not the id of a session", text)
	}
	return sessions.SessionID(id), nil
}

func sessionOf(s sessions.Session) api.Session {
	bought, used := int64(s.Time/time.Second), int64(s.TimeUsed/time.Second)
	out := api.Session{
		ID: int64(s.ID), DeviceID: int64(s.Device), Provider: s.Provider,
		Type: s.Type.String(), State: s.State,
		TimeSecs: bought, TimeUsedSecs: used, RemainingSecs: max(bought-used, 0),
		DataBytes: s.Bytes, DataUsedBytes: s.Used, RemainingBytes: s.Bytes - min(s.Used, s.Bytes),
		DownBPS: s.DownBPS, UpBPS: s.UpBPS, UseGlobalSpeed: s.UseGlobalSpeed,
		ExpDays: s.ExpDays, StartedAt: wire.TimeOf(s.Started), CreatedAt: s.Created.UTC(), Reference: s.Reference,
	}
	if !s.Type.Timed() {
		out.RemainingSecs = 0
	}
	if !s.Type.Metered() {
		out.RemainingBytes = 0
	}
	if at, ok := s.Expires(); ok {
		out.ExpiresAt = wire.TimeOf(at)
	}
	return out
}

func purchaseOf(p sessions.Purchase) api.Purchase {
	return api.Purchase{Session: sessionOf(p.Session), Claim: p.Claim}
}
