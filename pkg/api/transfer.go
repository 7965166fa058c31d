// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// PortableSession is one line of an export: a purchase without the ids of its
// database. created_at, to the nanosecond, names it everywhere. Of seconds the full
// ones count.
type PortableSession struct {
	CreatedAt      time.Time  `json:"created_at"`
	MAC            string     `json:"mac"`
	Hostname       string     `json:"hostname"`
	Type           string     `json:"type"`
	State          State      `json:"state"`
	TimeSecs       int64      `json:"time_secs"`
	TimeUsedSecs   int64      `json:"time_used_secs"`
	DataBytes      uint64     `json:"data_bytes"`
	DataUsedBytes  uint64     `json:"data_used_bytes"`
	DownBPS        uint64     `json:"down_bps"`
	UpBPS          uint64     `json:"up_bps"`
	UseGlobalSpeed bool       `json:"use_global_speed"`
	ExpDays        *uint      `json:"exp_days"`
	StartedAt      *time.Time `json:"started_at"`
	ClaimHash      *string    `json:"claim_hash"` // SHA-256 of the customer's code, hexadecimal; nil: none
	Reference      string     `json:"reference,omitempty"`
}

// Imported is what an import did.
type Imported struct {
	Imported int `json:"imported"` // purchases that were new
	Known    int `json:"known"`    // that were there already, and stay as they are
}

type transferCalls struct{ agent *transport }

// Export writes the purchases that the agent sold as JSON lines, each a
// [PortableSession]: those that have something left, or all. A caller that may only read
// gets no claim hashes.
func (c transferCalls) Export(ctx context.Context, all bool, to io.Writer) error {
	answer, err := c.agent.send(ctx, http.MethodGet, "/v1/export?all="+strconv.FormatBool(all), nil, wire.TypeLines)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	sink := &sink{w: to}
	if _, err := io.Copy(sink, answer.Body); err != nil {
		return cmp.Or(sink.err, c.agent.unreachable(ctx, err))
	}
	return nil
}

// sink distinguishes where a copy failed: here, or at the agent.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, s.err = s.w.Write(p)
	return n, s.err
}

// Import stores exported purchases, all of them or none; those that the agent has stay
// as they are. It is on disk when Import returns nil. Invalid names line and field.
func (c transferCalls) Import(ctx context.Context, lines []byte) (Imported, error) {
	return fetch[Imported](ctx, c.agent, http.MethodPost, "/v1/import", wire.Lines(lines))
}
