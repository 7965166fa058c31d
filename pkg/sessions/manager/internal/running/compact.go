// SPDX-License-Identifier: Apache-2.0

package running

import (
	"math"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// compactSession is a running session in half the memory, without what the rules do not ask of
// one that runs: when it was made, and whether its usage was delivered.
type compactSession struct {
	sessions.Counted
	account          dataplane.Account // and the session's id
	expDays          uint16            // and one more; 0: never expires
	kind             sessions.Type
	low, globalSpeed bool
	plain            bool // local, and its start is known: only its end needs a row

	device         sessions.DeviceID
	at             dataplane.Boottime
	started        int64 // in Unix ns; noTime
	interned       *interned
	time, timeUsed time.Duration
	bytes, used    uint64
	down, up       uint64
}

// interned are what nearly all running sessions have in common. They are not written to.
type interned struct{ provider, token, boot string }

func (r *compactSession) id() sessions.SessionID { return sessions.SessionOf(r.account) }

const noTime = math.MinInt64 // no time that a store can keep

// compact makes the row of a running session. last is what the one before had in common
// with others, and becomes that of this one.
func compact(s sessions.Session, last **interned) compactSession {
	if w := (interned{s.Provider, s.Token, s.Meter.Boot}); w != **last {
		*last = &w
	}
	r := compactSession{
		Counted: s.Meter.Counted(), at: s.Meter.At, low: s.Meter.Low,
		started: noTime, interned: *last, kind: s.Type, globalSpeed: s.UseGlobalSpeed,
		account: s.Account(), device: s.Device, time: s.Time, timeUsed: s.TimeUsed, bytes: s.Bytes, used: s.Used,
		down: s.DownBPS, up: s.UpBPS,
	}
	if s.ExpDays != nil {
		r.expDays = uint16(min(*s.ExpDays, math.MaxUint16-1)) + 1 // beyond maxDays by no verb
	}
	r.plain = s.Provider == sessions.LocalProvider && !s.Started.Before(dataplane.EarliestClock)
	if !s.Started.IsZero() {
		r.started = s.Started.UnixNano()
	}
	return r
}

// session is the row as the rules take it.
func (r *compactSession) session() sessions.Session {
	s := sessions.Session{
		ID: r.id(), Tag: sessions.TagOf(r.account), Device: r.device, Provider: r.interned.provider, Token: r.interned.token, Type: r.kind, State: sessions.Running,
		Time: r.time, TimeUsed: r.timeUsed, Bytes: r.bytes, Used: r.used,
		DownBPS: r.down, UpBPS: r.up, UseGlobalSpeed: r.globalSpeed,
		Meter: sessions.Baseline{Epoch: r.Epoch, Spent: r.Spent, Drops: r.Drops, Boot: r.interned.boot, At: r.at, Low: r.low},
	}
	if r.expDays != 0 {
		s.ExpDays = new(uint(r.expDays - 1))
	}
	if r.started != noTime {
		s.Started = time.Unix(0, r.started).UTC()
	}
	return s
}
