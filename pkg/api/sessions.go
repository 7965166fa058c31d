// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// Session is a purchase of a device. Seconds that are used count once they are
// full, so remaining_secs + time_used_secs is time_secs. What does not bound the
// type (the seconds of a data session) has 0 remaining.
type Session struct {
	ID             int64      `json:"id"` // 0: still at its provider, never started here
	DeviceID       int64      `json:"device_id"`
	Provider       string     `json:"provider"`
	Type           string     `json:"type"` // time, data or time_or_data
	State          State      `json:"state"`
	TimeSecs       int64      `json:"time_secs"`
	TimeUsedSecs   int64      `json:"time_used_secs"`
	RemainingSecs  int64      `json:"remaining_secs"`
	DataBytes      uint64     `json:"data_bytes"`
	DataUsedBytes  uint64     `json:"data_used_bytes"`
	RemainingBytes uint64     `json:"remaining_bytes"`
	DownBPS        uint64     `json:"down_bps"` // bit/s, 0 for no limit
	UpBPS          uint64     `json:"up_bps"`
	UseGlobalSpeed bool       `json:"use_global_speed"`
	ExpDays        *uint      `json:"exp_days"` // null: never expires
	StartedAt      *time.Time `json:"started_at"`
	ExpiresAt      *time.Time `json:"expires_at"`
	CreatedAt      time.Time  `json:"created_at"`
	Reference      string     `json:"reference"` // the caller's own name of the purchase; "": none
}

// Purchase is a session that was just bought.
type Purchase struct {
	Session
	// Claim is the code with which the customer can move it to another device. Print
	// it: it is not stored, and no later answer contains it.
	Claim string `json:"claim"`
}

// NewSession is the body of POST /v1/sessions.
type NewSession struct {
	Device         string `json:"device"` // id, MAC or IP; a MAC not yet known becomes a device
	Type           string `json:"type"`
	TimeSecs       int64  `json:"time_secs,omitempty"`
	DataBytes      uint64 `json:"data_bytes,omitempty"`
	ExpDays        *uint  `json:"exp_days"` // nil: never expires
	DownBPS        uint64 `json:"down_bps,omitempty"`
	UpBPS          uint64 `json:"up_bps,omitempty"`
	UseGlobalSpeed bool   `json:"use_global_speed,omitempty"`
	// Reference is the caller's own name of the purchase, at most 128 characters. A second
	// purchase with it is a Conflict, whose message names the first.
	Reference string `json:"reference,omitempty"`
}

// SessionPatch is the body of PATCH /v1/sessions/{id}; what is nil stays as it is.
// It takes effect on the next packet of a running session.
type SessionPatch struct {
	Type          *string `json:"type,omitempty"`
	TimeSecs      *int64  `json:"time_secs,omitempty"`  // new total
	DataBytes     *uint64 `json:"data_bytes,omitempty"` // new total
	AddTimeSecs   *int64  `json:"add_time_secs,omitempty"`
	AddDataBytes  *uint64 `json:"add_data_bytes,omitempty"`
	TimeUsedSecs  *int64  `json:"time_used_secs,omitempty"`
	DataUsedBytes *uint64 `json:"data_used_bytes,omitempty"`

	AddTimeUsedSecs  *int64  `json:"add_time_used_secs,omitempty"`
	AddDataUsedBytes *uint64 `json:"add_data_used_bytes,omitempty"`

	StartedAt      *time.Time `json:"started_at,omitempty"`
	ExpDays        Expiry     `json:"exp_days,omitzero"`
	DownBPS        *uint64    `json:"down_bps,omitempty"`
	UpBPS          *uint64    `json:"up_bps,omitempty"`
	UseGlobalSpeed *bool      `json:"use_global_speed,omitempty"`
}

// Expiry is a change of exp_days, which null makes "never". The zero value
// changes nothing.
type Expiry struct {
	Set  bool
	Days *uint // nil: never
}

// MarshalJSON is the days, or null.
func (e Expiry) MarshalJSON() ([]byte, error) { return json.Marshal(e.Days) }

// SessionQuery selects sessions; its zero value selects all.
type SessionQuery struct {
	Device    string    // id, MAC or IP; "" for every device
	States    []State   // empty: in every state
	Reference string    // of the one that has it; "": whatever they have
	Query     string    // part of the device's MAC, of its address or of its hostname
	Since     time.Time // made then or later; zero: at any time
	Newest    bool      // the newest first
	Limit     int       // of a page, at most 1,000; 0: 500
	Cursor    string    // where the page before ended; "" for the first one
}

type sessionCalls struct{ agent *transport }

// Sessions returns all sessions of a query by id, from its Cursor on.
func (c sessionCalls) Sessions(ctx context.Context, query SessionQuery) ([]Session, error) {
	query.Limit = maxPage
	return all(func(cursor string) ([]Session, string, error) {
		if cursor != "" {
			query.Cursor = cursor
		}
		return c.SessionPage(ctx, query)
	})
}

// SessionPage returns sessions by id, and the cursor of the next page; "" when there is none.
func (c sessionCalls) SessionPage(ctx context.Context, query SessionQuery) (page []Session, next string, err error) {
	args := pageArgs(query.Query, query.Since, query.Newest, query.Limit, query.Cursor)
	if query.Device != "" {
		args.Set("device", query.Device)
	}
	if len(query.States) > 0 {
		args.Set("state", strings.Join(wire.Each(query.States, func(s State) string { return string(s) }), ","))
	}
	if query.Reference != "" {
		args.Set("reference", query.Reference)
	}
	return fetchPage[Session](ctx, c.agent, "/v1/sessions", args)
}

// Session returns one session.
func (c sessionCalls) Session(ctx context.Context, id int64) (Session, error) {
	return fetch[Session](ctx, c.agent, http.MethodGet, sessionPath(id), nil)
}

// CreateSession sells a session; it is on disk when CreateSession returns nil. When the
// answer is lost, because the agent restarts, the call is repeated, and sells once.
func (c sessionCalls) CreateSession(ctx context.Context, session NewSession) (Purchase, error) {
	return fetchOnce[Purchase](ctx, c.agent, http.MethodPost, "/v1/sessions", session)
}

// UpdateSession changes a session, running or not. Like CreateSession it has one effect.
func (c sessionCalls) UpdateSession(ctx context.Context, id int64, patch SessionPatch) (Session, error) {
	return fetchOnce[Session](ctx, c.agent, http.MethodPatch, sessionPath(id), patch)
}

// DeleteSession deletes a session; a running one ends.
func (c sessionCalls) DeleteSession(ctx context.Context, id int64) error {
	_, err := c.agent.Do(ctx, http.MethodDelete, sessionPath(id), nil)
	return err
}

// MoveSession gives a session to another device, as Claim does without its code.
func (c sessionCalls) MoveSession(ctx context.Context, id int64, device string) (Session, error) {
	return fetch[Session](ctx, c.agent, http.MethodPatch, sessionPath(id), sessionMove{device})
}

type sessionMove struct {
	Device string `json:"device"`
}

func sessionPath(id int64) string { return "/v1/sessions/" + strconv.FormatInt(id, 10) }
