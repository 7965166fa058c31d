// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
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
	PathGetSession    = "/v1/get-session"
	PathFetchSessions = "/v1/fetch-sessions"
	PathSave          = "/v1/save"
	PathReload        = "/v1/reload"
)

// ProviderData is a provider's session, in the API's units; the time used has
// fractions of a second, so that none is lost between two pauses.
type ProviderData struct {
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

// ProviderDataOf returns the wire form of a session's content.
func ProviderDataOf(d sessions.SessionData) ProviderData {
	return ProviderData{
		Provider: d.Provider, Type: d.Type.String(),
		TimeSecs: int64(d.Time / time.Second), TimeUsedSecs: d.TimeUsed.Seconds(),
		DataBytes: d.Bytes, DataUsedBytes: d.Used, DownBPS: d.DownBPS, UpBPS: d.UpBPS,
		UseGlobalSpeed: d.UseGlobalSpeed, ExpDays: d.ExpDays,
		StartedAt: TimeOf(d.Started), CreatedAt: TimeOf(d.Created),
	}
}

// SessionData reads a session's content; unknown fields are a newer provider's, and left.
func (o *Object) SessionData(field string) (d sessions.SessionData) {
	in := o.Inner(field)
	d = sessions.SessionData{
		Provider: in.String("provider"), Type: in.SessionType("type"),
		Time: in.Secs("time_secs"), TimeUsed: in.Fraction("time_used_secs"),
		Bytes: in.Amount("data_bytes"), Used: in.Amount("data_used_bytes"),
		DownBPS: in.Amount("down_bps"), UpBPS: in.Amount("up_bps"),
		UseGlobalSpeed: in.Bool("use_global_speed"), ExpDays: in.ExpDays(),
		Started: in.Time("started_at"), Created: in.Time("created_at"),
	}
	if !in.Has("type") {
		in.Fail("type", "missing")
	}
	o.Keep(in.err)
	return d
}

// SessionDataList reads an array of them.
func (o *Object) SessionDataList(field string) []sessions.SessionData {
	var raw []json.RawMessage
	if o.Has(field) && json.Unmarshal(o.fields[field], &raw) != nil {
		o.Fail(field, "%s is not an array", Quote(o.fields[field]))
	}
	list := make([]sessions.SessionData, 0, len(raw))
	for _, one := range raw {
		entry := &Object{fields: map[string]json.RawMessage{field: one}, prefix: o.prefix}
		list = append(list, entry.SessionData(field))
		o.Keep(entry.err)
	}
	return list
}
