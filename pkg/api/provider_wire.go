// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"math"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// What the agent and a provider's process say to each other: the agent POSTs JSON to
// the provider's Unix socket, in any language's HTTP server. Errors are problem
// documents, as in the agent's own API.
//
//	POST /v1/get-session    {device}                  → {found, token, data}
//	POST /v1/fetch-sessions {device, page, per_page}  → {sessions: [data], pages, count}
//	POST /v1/save           {token, data}             → {}
//	POST /v1/reload         {token}                   → {data}
//
// The token names one session in the provider's process; not_found when it does not.
const (
	pathGetSession    = "/v1/get-session"
	pathFetchSessions = "/v1/fetch-sessions"
	pathSave          = "/v1/save"
	pathReload        = "/v1/reload"
)

type (
	providerAsk struct {
		Device  Device `json:"device"`
		Page    int    `json:"page,omitempty"`
		PerPage int    `json:"per_page,omitempty"`
	}
	providerSave struct {
		Token string        `json:"token"`
		Data  *providerData `json:"data,omitempty"`
	}
	providerFound struct {
		Found bool          `json:"found"`
		Token string        `json:"token,omitempty"`
		Data  *providerData `json:"data,omitempty"`
	}
	providerPage struct {
		Sessions []providerData `json:"sessions"`
		Pages    int            `json:"pages"`
		Count    int            `json:"count"`
	}
	providerReloaded struct {
		Data *providerData `json:"data"`
	}
)

// providerData is a provider's session, in the API's units; the time used has
// fractions of a second, so that none is lost between two pauses.
type providerData struct {
	Provider       string     `json:"provider"`
	Type           string     `json:"type"`
	TimeSecs       int64      `json:"time_secs"`
	TimeUsedSecs   float64    `json:"time_used_secs"`
	DataBytes      uint64     `json:"data_bytes"`
	DataUsedBytes  uint64     `json:"data_used_bytes"`
	DownBPS        uint64     `json:"down_bps"`
	UpBPS          uint64     `json:"up_bps"`
	UseGlobalSpeed bool       `json:"use_global_speed"`
	ExpDays        *uint      `json:"exp_days"`
	StartedAt      *time.Time `json:"started_at"`
	CreatedAt      *time.Time `json:"created_at"`
}

func providerDataOf(d sessions.SessionData) providerData {
	return providerData{
		Provider: d.Provider, Type: typeName(d.Type),
		TimeSecs: int64(d.Time / time.Second), TimeUsedSecs: d.TimeUsed.Seconds(),
		DataBytes: d.Bytes, DataUsedBytes: d.Used, DownBPS: d.DownBPS, UpBPS: d.UpBPS,
		UseGlobalSpeed: d.UseGlobalSpeed, ExpDays: d.ExpDays,
		StartedAt: timeOf(d.Started), CreatedAt: timeOf(d.Created),
	}
}

// data reads a session's content; unknown fields are a newer provider's, and left.
func (o *object) data(field string) (d sessions.SessionData) {
	in := o.inner(field)
	d = sessions.SessionData{
		Provider: in.string("provider"), Type: in.sessionType("type"),
		Time: in.secs("time_secs"), TimeUsed: in.fraction("time_used_secs"),
		Bytes: in.amount("data_bytes"), Used: in.amount("data_used_bytes"),
		DownBPS: in.amount("down_bps"), UpBPS: in.amount("up_bps"),
		UseGlobalSpeed: in.bool("use_global_speed"), ExpDays: in.expDays(),
		Started: in.time("started_at"), Created: in.time("created_at"),
	}
	if !in.has("type") {
		in.fail("type", "missing")
	}
	o.keep(in.err)
	return d
}

// fraction reads seconds with a fraction.
func (o *object) fraction(field string) time.Duration {
	var secs float64
	switch {
	case o.has(field) && json.Unmarshal(o.fields[field], &secs) != nil:
		o.fail(field, "%s is not a number of seconds", quote(o.fields[field]))
	case secs < 0:
		o.fail(field, "%v is negative", secs)
	case secs >= float64(maxSecs):
		o.fail(field, "%v is too large (at most %d)", secs, maxSecs)
	}
	return time.Duration(math.Round(secs * float64(time.Second)))
}

// inner reads an object inside an object.
func (o *object) inner(field string) *object {
	in := &object{fields: map[string]json.RawMessage{}, prefix: o.prefix + field + "."}
	if !o.has(field) {
		o.fail(field, "missing")
		return in
	}
	in.err = in.parse(o.fields[field], nil)
	return in
}

func (o *object) keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *object) time(field string) (value time.Time) {
	if o.has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.fail(field, "%s is not a time (want RFC 3339)", quote(o.fields[field]))
	}
	return value
}

func (o *object) dataList(field string) []sessions.SessionData {
	var raw []json.RawMessage
	if o.has(field) && json.Unmarshal(o.fields[field], &raw) != nil {
		o.fail(field, "%s is not an array", quote(o.fields[field]))
	}
	list := make([]sessions.SessionData, 0, len(raw))
	for _, one := range raw {
		entry := &object{fields: map[string]json.RawMessage{field: one}, prefix: o.prefix}
		list = append(list, entry.data(field))
		o.keep(entry.err)
	}
	return list
}

// device reads a device that the agent sent.
func (o *object) device(field string) Device {
	in := o.inner(field)
	d := Device{
		ID: in.whole("id", 1, math.MaxInt64), MAC: in.string("mac"), IP: in.string("ip"), IPs: in.texts("ips"),
		Hostname: in.string("hostname"), CreatedAt: in.time("created_at"),
	}
	o.keep(in.err)
	return d
}
