// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"time"
)

// ProviderRecord is a registered provider, kept so that an agent that restarts
// can call it again.
type ProviderRecord struct {
	Name   string
	Socket string // path of the Unix socket on which the provider's process answers
}

// Provider supplies sessions that were sold elsewhere. Its process may be slow or
// gone: every call gets a time-out, and none is made under a lock. An error with
// code NotFound says that a token means nothing to it any more.
type Provider interface {
	// GetSession returns what the device may consume now; false when it has nothing.
	GetSession(context.Context, Device) (ProvidedSession, bool, error)
	// FetchSessions lists what the device has, by pages from 1.
	FetchSessions(ctx context.Context, d Device, page, perPage int) (ProvidedPage, error)
	// Save takes over what was used of a session. The figures are absolute: a save
	// that is repeated changes nothing. The allowances in it are as the agent knew
	// them; a Reload follows, by which it learns of a top-up at the provider.
	Save(ctx context.Context, token string, data SessionData) error
	// Reload returns the provider's own state of a session.
	Reload(ctx context.Context, token string) (SessionData, error)
}

// Reachable is a Provider of which it can be found out cheaply, without a call, whether its
// process listens: one that is never called must not be dead unnoticed.
type Reachable interface {
	Reach(context.Context) error
}

// ProvidedSession is a session of a provider.
type ProvidedSession struct {
	Token string // names it inside the provider's process
	Data  SessionData
}

// ProvidedPage is one page of a device's sessions.
type ProvidedPage struct {
	Sessions []SessionData
	Pages    int // how many pages there are
	Count    int // how many sessions there are
}

// SessionData is a session as agent and provider exchange it; bytes
// are wire bytes, speeds bit/s.
type SessionData struct {
	Provider       string
	Type           Type
	Time, TimeUsed time.Duration
	Bytes, Used    uint64
	Started        time.Time // zero: never started
	ExpDays        *uint     // nil: never expires
	DownBPS, UpBPS uint64
	UseGlobalSpeed bool
	Created        time.Time
}

// DataOf is a session as it is delivered to its provider. What was written off at the
// end of its bytes counts as used: it would be offered again and again otherwise.
func DataOf(s Session) SessionData {
	if s.State == Consumed && s.Type.Metered() && s.RemainingBytes() < mtu {
		s.Used = max(s.Used, s.Bytes)
	}
	return SessionData{
		Provider: s.Provider, Type: s.Type,
		Time: s.Time, TimeUsed: s.TimeUsed, Bytes: s.Bytes, Used: s.Used,
		Started: s.Started, ExpDays: s.ExpDays, DownBPS: s.DownBPS, UpBPS: s.UpBPS,
		UseGlobalSpeed: s.UseGlobalSpeed, Created: s.Created,
	}
}

// Equal compares by value.
func (d SessionData) Equal(other SessionData) bool {
	if (d.ExpDays == nil) != (other.ExpDays == nil) || d.ExpDays != nil && *d.ExpDays != *other.ExpDays {
		return false
	}
	if !d.Started.Equal(other.Started) || !d.Created.Equal(other.Created) {
		return false
	}
	d.ExpDays, d.Started, d.Created = other.ExpDays, other.Started, other.Created
	return d == other
}

// SetPurchase takes over what the provider sold; usage is not in it.
func (s *Session) SetPurchase(d SessionData) {
	s.Type, s.Time, s.Bytes, s.ExpDays = d.Type, d.Time, d.Bytes, d.ExpDays
	s.DownBPS, s.UpBPS, s.UseGlobalSpeed = d.DownBPS, d.UpBPS, d.UseGlobalSpeed
}

// SetUsage takes over what the provider says was used.
func (s *Session) SetUsage(d SessionData) {
	s.TimeUsed, s.Used, s.Started = d.TimeUsed, d.Used, d.Started
}

// SamePurchase reports whether data describes the purchase that s is: providers give no
// number to their sessions, but know when they sold what.
func (s Session) SamePurchase(d SessionData) bool {
	return s.Type == d.Type && s.Created.Equal(d.Created)
}

// AdoptUsage brings the usage of a row in line with the provider's data. Usage that
// was not delivered is kept if it is still the same purchase.
func (s *Session) AdoptUsage(data SessionData) {
	if s.Unsaved && s.SamePurchase(data) {
		return
	}
	if !s.SamePurchase(data) {
		s.State, s.Created, s.Meter.Low = Available, data.Created, false
	}
	s.Unsaved = false
	s.SetUsage(data)
}
