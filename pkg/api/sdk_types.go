// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"
)

// ClientDevice is a customer's device.
type ClientDevice interface {
	Id() int64
	Hostname() string
	IpAddr() string  // the address seen last
	MacAddr() string // lower-case, with colons
	// Update changes the device; "" leaves a field as it is. A MAC that belongs to
	// another device is a Conflict. A running session moves along.
	Update(ctx context.Context, mac, ip, hostname string) error
	// Emit gives data to this process's subscribers of an event of this device.
	Emit(event string, data []byte)
	// Subscribe returns what Emit is given, and what the agent reports of this device:
	// "session:connected" and "session:disconnected" with {"message": …}, and every
	// event of the agent under its own name ("session.low"), as JSON. A subscriber
	// that does not keep up misses the oldest. The channel is closed by Unsubscribe
	// and by [API.Close].
	Subscribe(event string) <-chan []byte
	Unsubscribe(event string, ch <-chan []byte)
}

// ClientSession is a session as it was when it was fetched. Setters change the
// object only, until Save sends what changed; a value that is refused is an error of
// the next Save. Safe for concurrent use.
type ClientSession interface {
	Provider() string
	Type() uint8 // 0 time, 1 data, 2 time_or_data
	TimeSecs() uint
	DataMb() float64
	TimeConsumption() uint    // seconds spent connected
	DataConsumption() float64 // MB
	RemainingTime() uint      // never below 0; 0 for a data session
	RemainingData() float64   // 0 for a time session
	StartedAt() *time.Time    // nil: never started
	CreatedAt() time.Time
	ExpDays() *uint        // nil: never expires
	ExpiresAt() *time.Time // nil: not started, or never expires
	DownMbits() int        // 0 for no limit; a broken number is rounded up
	UpMbits() int
	UseGlobalSpeed() bool

	// IncTimeCons and IncDataCons add to what is consumed, at Save on top of what
	// the agent has debited by then.
	IncTimeCons(sec uint)
	IncDataCons(mbytes float64)
	SetTimeSecs(sec uint)
	SetDataMb(mbytes float64)
	SetTimeCons(sec uint)
	SetDataCons(mbytes float64)
	// SetStartedAt moves the first start, from which the expiry counts. A started
	// session cannot be made one that never was: nil is refused.
	SetStartedAt(started *time.Time)
	SetExpDays(days *uint)
	SetDownMbits(mbits int)
	SetUpMbits(mbits int)
	SetUseGlobalSpeed(useGlobal bool)

	// Save sends the changed fields, and takes over what the agent has now.
	Save(ctx context.Context) error
	// Reload drops what was not saved.
	Reload(ctx context.Context) error
}

// SessionProvider sells sessions that live in the embedder's process. The agent asks
// providers in order of registration before it considers its own sessions. Calls come
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
// continues, so CreatedAt has to be kept, too.
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
