// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	bytesPerMB   = 1e6
	bpsPerMbit   = 1_000_000
	maxMbits     = math.MaxInt64 / bpsPerMbit
	firstTooMany = float64(1 << 63) // bytes that no longer fit
)

// bytesOf converts megabytes. It refuses what is no amount.
func bytesOf(field string, mb float64) (uint64, error) {
	bytes := math.Round(mb * bytesPerMB)
	switch {
	case math.IsNaN(mb), math.IsInf(mb, 0):
		return 0, sessions.Invalidf(field, "%v is not an amount of data", mb)
	case mb < 0:
		return 0, sessions.Invalidf(field, "%v is negative", mb)
	case bytes >= firstTooMany:
		return 0, sessions.Invalidf(field, "%v MB is too large (at most %d bytes)", mb, int64(wire.MaxBytes))
	}
	return uint64(bytes), nil
}

func mbOf(bytes uint64) float64 { return float64(bytes) / bytesPerMB }

// bpsOf converts Mbit/s.
func bpsOf(field string, mbits int) (uint64, error) {
	switch {
	case mbits < 0:
		return 0, sessions.Invalidf(field, "%d is negative", mbits)
	case int64(mbits) > maxMbits:
		return 0, sessions.Invalidf(field, "%d Mbit/s is too large (at most %d)", mbits, int64(maxMbits))
	}
	return uint64(mbits) * bpsPerMbit, nil
}

// mbitsOf rounds up, so that a slow speed does not read as 0, which is no limit.
func mbitsOf(bps uint64) int {
	return int(bps/bpsPerMbit + min(bps%bpsPerMbit, 1))
}

func secsOf(field string, secs uint) (int64, error) {
	if uint64(secs) > uint64(wire.MaxSecs) {
		return 0, sessions.Invalidf(field, "%d is too large (at most %d)", secs, wire.MaxSecs)
	}
	return int64(secs), nil
}

func daysOf(field string, days *uint) (*uint, error) {
	if days == nil {
		return nil, nil
	}
	if uint64(*days) > uint64(wire.MaxDays) {
		return nil, sessions.Invalidf(field, "%d is too large (at most %d)", *days, wire.MaxDays)
	}
	own := *days
	return &own, nil
}

// assign stores a converted value, unless it is refused.
func assign[In, Out any](to *Out, convert func(string, In) (Out, error), field string, value In) error {
	converted, err := convert(field, value)
	if err == nil {
		*to = converted
	}
	return err
}

// domain converts to what the agent counts in, and refuses what is no value.
func (d SessionData) domain() (data sessions.SessionData, err error) {
	refuse := func(problem error) {
		if err == nil {
			err = problem
		}
	}
	if !sessions.Type(d.Type).Valid() {
		refuse(sessions.Invalidf("type", "%d is not a session type (want 0, 1 or 2)", d.Type))
	}
	data = sessions.SessionData{Provider: d.Provider, Type: sessions.Type(d.Type), UseGlobalSpeed: d.UseGlobalSpeed, Created: d.CreatedAt}
	var secs, used int64
	refuse(assign(&secs, secsOf, "time_secs", d.TimeSecs))
	refuse(assign(&used, secsOf, "time_cons", d.TimeCons))
	refuse(assign(&data.Bytes, bytesOf, "data_mb", d.DataMb))
	refuse(assign(&data.Used, bytesOf, "data_cons", d.DataCons))
	refuse(assign(&data.DownBPS, bpsOf, "down_mbits", d.DownMbits))
	refuse(assign(&data.UpBPS, bpsOf, "up_mbits", d.UpMbits))
	refuse(assign(&data.ExpDays, daysOf, "exp_days", d.ExpDays))
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
		StartedAt: wire.TimeOf(d.Started), ExpDays: d.ExpDays,
		DownMbits: mbitsOf(d.DownBPS), UpMbits: mbitsOf(d.UpBPS),
		UseGlobalSpeed: d.UseGlobalSpeed, CreatedAt: d.Created.UTC(),
	}
}
