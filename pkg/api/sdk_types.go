// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// SessionProvider sells sessions that live in the embedder's process. The agent asks
// providers in order of registration before it looks at its own sessions. Calls come
// from several goroutines, and are given up by the agent after its time-out (2 s):
// ctx ends then.
//
// A provider may have a method Name() string; without it the program's name counts.
type SessionProvider interface {
	// GetSession returns what the device may consume now; false for nothing.
	GetSession(ctx context.Context, clnt ClientDevice) (SessionSource, bool)
	// FetchSessions lists the device's sessions, pages counted from 1.
	FetchSessions(ctx context.Context, clnt ClientDevice, page int, perPage int) (FetchSessionsResult, error)
}

// SessionSource is one session of a provider. Save is called at checkpoints and when
// the session pauses or ends, with all its figures; a Save that failed is sent again.
//
// A source is known as long as the process lives. After a restart the agent asks
// GetSession again: a session of the same Type and CreatedAt is the same purchase and
// goes on, so CreatedAt has to be kept, too.
type SessionSource interface {
	Data() SessionData
	Save(ctx context.Context, data SessionData) error
	Reload(ctx context.Context) (SessionData, error)
}

// SessionData is the content of a provider's session.
type SessionData struct {
	Provider       string // for people; the agent keeps the provider's registered name
	Type           uint8  // 0 time, 1 data, 2 time_or_data
	TimeSecs       uint
	DataMb         float64 // MB of 1,000,000 bytes
	TimeCons       uint
	DataCons       float64
	StartedAt      *time.Time
	ExpDays        *uint
	DownMbits      int // 0 for no limit
	UpMbits        int
	UseGlobalSpeed bool
	CreatedAt      time.Time
}

// FetchSessionsResult is one page of a device's sessions.
type FetchSessionsResult struct {
	Sessions []SessionData
	Pages    int
	Count    int // over all pages
}

// domain converts to what the agent counts in, and refuses what is no value.
func (d SessionData) domain() (data sessions.SessionData, err error) {
	keep := func(problem error) {
		if err == nil {
			err = problem
		}
	}
	if int(d.Type) >= len(typeNames) {
		keep(sessions.Invalidf("type", "%d is not a session type (want 0, 1 or 2)", d.Type))
	}
	data = sessions.SessionData{Provider: d.Provider, Type: sessions.Type(d.Type), UseGlobalSpeed: d.UseGlobalSpeed, Created: d.CreatedAt}
	var secs, used int64
	keep(assign(&secs, secsOf, "time_secs", d.TimeSecs))
	keep(assign(&used, secsOf, "time_cons", d.TimeCons))
	keep(assign(&data.Bytes, bytesOf, "data_mb", d.DataMb))
	keep(assign(&data.Used, bytesOf, "data_cons", d.DataCons))
	keep(assign(&data.DownBPS, bpsOf, "down_mbits", d.DownMbits))
	keep(assign(&data.UpBPS, bpsOf, "up_mbits", d.UpMbits))
	keep(assign(&data.ExpDays, daysOf, "exp_days", d.ExpDays))
	data.Time, data.TimeUsed = time.Duration(secs)*time.Second, time.Duration(used)*time.Second
	if d.StartedAt != nil {
		data.Started = *d.StartedAt
	}
	return data, err
}

// sessionDataOf is the way back.
func sessionDataOf(d sessions.SessionData) SessionData {
	return SessionData{
		Provider: d.Provider, Type: uint8(d.Type),
		TimeSecs: uint(d.Time / time.Second), DataMb: mbOf(d.Bytes),
		TimeCons: uint(d.TimeUsed / time.Second), DataCons: mbOf(d.Used),
		StartedAt: timeOf(d.Started), ExpDays: d.ExpDays,
		DownMbits: mbitsOf(d.DownBPS), UpMbits: mbitsOf(d.UpBPS),
		UseGlobalSpeed: d.UseGlobalSpeed, CreatedAt: d.Created.UTC(),
	}
}
