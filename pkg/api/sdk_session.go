// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

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

type clientSession struct {
	client *Client

	mu   sync.Mutex
	base Session // as fetched
	now  Session // with the changes
	// What was added to the consumption, and not set.
	timeAdded *int64
	dataAdded *uint64
	err       error // of the first setter whose value is refused
}

func newClientSession(client *Client, s Session) *clientSession {
	return &clientSession{client: client, base: s, now: s}
}

func (s *clientSession) get() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *clientSession) Provider() string         { return s.get().Provider }
func (s *clientSession) TimeSecs() uint           { return uint(s.get().TimeSecs) }
func (s *clientSession) DataMb() float64          { return mbOf(s.get().DataBytes) }
func (s *clientSession) TimeConsumption() uint    { return uint(s.get().TimeUsedSecs) }
func (s *clientSession) DataConsumption() float64 { return mbOf(s.get().DataUsedBytes) }
func (s *clientSession) StartedAt() *time.Time    { return s.get().StartedAt }
func (s *clientSession) CreatedAt() time.Time     { return s.get().CreatedAt }
func (s *clientSession) ExpDays() *uint           { return s.get().ExpDays }
func (s *clientSession) DownMbits() int           { return mbitsOf(s.get().DownBPS) }
func (s *clientSession) UpMbits() int             { return mbitsOf(s.get().UpBPS) }
func (s *clientSession) UseGlobalSpeed() bool     { return s.get().UseGlobalSpeed }

func (s *clientSession) Type() uint8 {
	number, err := ParseType(s.get().Type)
	if err != nil {
		return uint8(len(typeNames)) // of a newer agent; none of the known ones
	}
	return uint8(number)
}

func (s *clientSession) RemainingTime() uint {
	now := s.get()
	if now.Type == typeNames[sessions.Data] {
		return 0
	}
	return uint(max(now.TimeSecs-now.TimeUsedSecs, 0))
}

func (s *clientSession) RemainingData() float64 {
	now := s.get()
	if now.Type == typeNames[sessions.Time] {
		return 0
	}
	return mbOf(now.DataBytes - min(now.DataUsedBytes, now.DataBytes))
}

func (s *clientSession) ExpiresAt() *time.Time {
	now := s.get()
	if now.StartedAt == nil || now.ExpDays == nil {
		return nil
	}
	at := now.StartedAt.Add(time.Duration(*now.ExpDays) * 24 * time.Hour)
	return &at
}

// set changes the object, unless the value is refused.
func (s *clientSession) set(change func(now *Session) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := change(&s.now); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *clientSession) IncTimeCons(sec uint) {
	s.set(func(now *Session) error {
		more, err := secsOf("time_cons", sec)
		if err == nil && more > maxSecs-now.TimeUsedSecs {
			err = sessions.Invalidf("time_cons", "%d more than %d is too large", more, now.TimeUsedSecs)
		}
		if err == nil {
			now.TimeUsedSecs += more
			s.timeAdded = plus(s.timeAdded, more)
		}
		return err
	})
}

func (s *clientSession) IncDataCons(mbytes float64) {
	s.set(func(now *Session) error {
		more, err := bytesOf("data_cons", mbytes)
		if err == nil && more > maxBytes-now.DataUsedBytes {
			err = sessions.Invalidf("data_cons", "%d bytes more than %d is too large", more, now.DataUsedBytes)
		}
		if err == nil {
			now.DataUsedBytes += more
			s.dataAdded = plus(s.dataAdded, more)
		}
		return err
	})
}

func (s *clientSession) SetTimeSecs(sec uint) {
	s.set(func(now *Session) error { return assign(&now.TimeSecs, secsOf, "time_secs", sec) })
}

func (s *clientSession) SetDataMb(mbytes float64) {
	s.set(func(now *Session) error { return assign(&now.DataBytes, bytesOf, "data_mb", mbytes) })
}

func (s *clientSession) SetTimeCons(sec uint) {
	s.set(func(now *Session) error {
		s.timeAdded = nil
		return assign(&now.TimeUsedSecs, secsOf, "time_cons", sec)
	})
}

func (s *clientSession) SetDataCons(mbytes float64) {
	s.set(func(now *Session) error {
		s.dataAdded = nil
		return assign(&now.DataUsedBytes, bytesOf, "data_cons", mbytes)
	})
}

func (s *clientSession) SetStartedAt(started *time.Time) {
	s.set(func(now *Session) error {
		if started == nil {
			return sessions.Invalidf("started_at", "nil: a first start cannot be taken back")
		}
		at := *started
		now.StartedAt = &at
		return nil
	})
}

func (s *clientSession) SetExpDays(days *uint) {
	s.set(func(now *Session) error { return assign(&now.ExpDays, daysOf, "exp_days", days) })
}

func (s *clientSession) SetDownMbits(mbits int) {
	s.set(func(now *Session) error { return assign(&now.DownBPS, bpsOf, "down_mbits", mbits) })
}

func (s *clientSession) SetUpMbits(mbits int) {
	s.set(func(now *Session) error { return assign(&now.UpBPS, bpsOf, "up_mbits", mbits) })
}

func (s *clientSession) SetUseGlobalSpeed(useGlobal bool) {
	s.set(func(now *Session) error {
		now.UseGlobalSpeed = useGlobal
		return nil
	})
}

// assign stores a converted value, unless it is refused.
func assign[In, Out any](to *Out, convert func(string, In) (Out, error), field string, value In) error {
	converted, err := convert(field, value)
	if err == nil {
		*to = converted
	}
	return err
}
