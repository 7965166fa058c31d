// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// clientSession is the ClientSession of a session that the agent sent. Its calls run one
// at a time, without a lock on the values: getters and setters never wait for the agent.
type clientSession struct {
	draft
	client *Client
	calls  serializer
}

func newClientSession(client *Client, s Session) *clientSession {
	return &clientSession{client: client, draft: draft{base: s, now: s}, calls: make(serializer, 1)}
}

func (s *clientSession) Save(ctx context.Context) error {
	return s.calls.run(ctx, func() error {
		sent, patch, err := s.send()
		if err != nil || sent == nil {
			return err
		}
		saved, err := s.client.UpdateSession(ctx, sent.id, patch)
		if err != nil {
			s.failed(sent)
			return err
		}
		s.saved(sent, saved)
		return nil
	})
}

func (s *clientSession) Reload(ctx context.Context) error {
	return s.calls.run(ctx, func() error {
		id, err := s.stored("reloaded")
		if err != nil {
			return err
		}
		fresh, err := s.client.Session(ctx, id)
		if err == nil {
			s.replace(fresh)
		}
		return err
	})
}

// serializer runs one call at a time; it holds the one that runs.
type serializer chan struct{}

func (s serializer) run(ctx context.Context, call func() error) error {
	select {
	case s <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s }()
	return call()
}

func (s *clientSession) Provider() string { return s.get().Provider }

func (s *clientSession) TimeSecs() uint { return uint(s.get().TimeSecs) }

func (s *clientSession) DataMb() float64 { return mbOf(s.get().DataBytes) }

func (s *clientSession) TimeConsumption() uint { return uint(s.get().TimeUsedSecs) }

func (s *clientSession) DataConsumption() float64 { return mbOf(s.get().DataUsedBytes) }

func (s *clientSession) StartedAt() *time.Time { return s.get().StartedAt }

func (s *clientSession) CreatedAt() time.Time { return s.get().CreatedAt }

func (s *clientSession) ExpDays() *uint { return s.get().ExpDays }

func (s *clientSession) DownMbits() int { return mbitsOf(s.get().DownBPS) }

func (s *clientSession) UpMbits() int { return mbitsOf(s.get().UpBPS) }

func (s *clientSession) UseGlobalSpeed() bool { return s.get().UseGlobalSpeed }

func (s *clientSession) Type() uint8 {
	number, known := sessions.ParseType(s.get().Type)
	if !known {
		return uint8(len(sessions.Types())) // of a newer agent
	}
	return uint8(number)
}

func (s *clientSession) RemainingTime() uint {
	now := s.get()
	if now.Type == sessions.Data.String() {
		return 0
	}
	return uint(max(now.TimeSecs-now.TimeUsedSecs, 0))
}

func (s *clientSession) RemainingData() float64 {
	now := s.get()
	if now.Type == sessions.Time.String() {
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

func (s *clientSession) IncTimeCons(sec uint) {
	s.set(func(now *Session) error {
		more, err := secsOf("time_cons", sec)
		if err == nil && more > wire.MaxSecs-now.TimeUsedSecs {
			err = sessions.Invalidf("time_cons", "%d more than %d is too large", more, now.TimeUsedSecs)
		}
		if err == nil {
			now.TimeUsedSecs += more
			s.added.secs = plus(s.added.secs, more)
		}
		return err
	})
}

func (s *clientSession) IncDataCons(mbytes float64) {
	s.set(func(now *Session) error {
		more, err := bytesOf("data_cons", mbytes)
		if err == nil && more > wire.MaxBytes-now.DataUsedBytes {
			err = sessions.Invalidf("data_cons", "%d bytes more than %d is too large", more, now.DataUsedBytes)
		}
		if err == nil {
			now.DataUsedBytes += more
			s.added.bytes = plus(s.added.bytes, more)
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
		s.added.secs = nil
		return assign(&now.TimeUsedSecs, secsOf, "time_cons", sec)
	})
}

func (s *clientSession) SetDataCons(mbytes float64) {
	s.set(func(now *Session) error {
		s.added.bytes = nil
		return assign(&now.DataUsedBytes, bytesOf, "data_cons", mbytes)
	})
}

func (s *clientSession) SetStartedAt(started *time.Time) {
	s.set(func(now *Session) error {
		if started == nil {
			return sessions.Invalidf("started_at", "nil: a first start cannot be undone")
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
