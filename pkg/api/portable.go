// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// PortableSession is one line of an export: a purchase without the ids of its
// database. created_at, to the nanosecond, names it everywhere. Of seconds the full
// ones count.
type PortableSession struct {
	CreatedAt      time.Time      `json:"created_at"`
	MAC            string         `json:"mac"`
	Hostname       string         `json:"hostname"`
	Type           string         `json:"type"`
	State          sessions.State `json:"state"`
	TimeSecs       int64          `json:"time_secs"`
	TimeUsedSecs   int64          `json:"time_used_secs"`
	DataBytes      uint64         `json:"data_bytes"`
	DataUsedBytes  uint64         `json:"data_used_bytes"`
	DownBPS        uint64         `json:"down_bps"`
	UpBPS          uint64         `json:"up_bps"`
	UseGlobalSpeed bool           `json:"use_global_speed"`
	ExpDays        *uint          `json:"exp_days"`
	StartedAt      *time.Time     `json:"started_at"`
}

var portableFields = []string{
	"created_at", "mac", "hostname", "type", "state", "time_secs", "time_used_secs", "data_bytes", "data_used_bytes",
	"down_bps", "up_bps", "use_global_speed", "exp_days", "started_at",
}

// Imported is what an import did.
type Imported struct {
	Imported int `json:"imported"` // purchases that were new
	Known    int `json:"known"`    // that were there already, and stay as they are
}

const (
	importPath = "/v1/import"
	// maxImport bounds an import: some 150,000 purchases.
	maxImport = 64 << 20
)

// bodyLimit is what a route reads of a request.
func (s *Server) bodyLimit(r route) int64 {
	if r.path == importPath {
		return maxImport
	}
	return s.opts.MaxBody
}

func (s *Server) export(c *call) (*reply, error) {
	all := false
	if text := c.args.Get("all"); text != "" {
		var err error
		if all, err = strconv.ParseBool(text); err != nil {
			return nil, sessions.Invalidf("all", "%q is neither true nor false", text)
		}
	}
	list, err := s.service.Export(c.Context(), all)
	if err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", jsonLines.contentType)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(c.w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, p := range list {
		if encoder.Encode(portableOf(p)) != nil {
			panic(http.ErrAbortHandler) // the client is gone, and must not take it for all
		}
	}
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil, nil
}

func (s *Server) importSessions(c *call) (*reply, error) {
	list, err := portablesFrom(c.body)
	if err != nil {
		return nil, err
	}
	done, err := s.service.Import(c.Context(), list)
	if err != nil {
		return nil, err
	}
	return ok(Imported(done))
}

func portableOf(p sessions.Portable) PortableSession {
	s := sessionOf(p.Session)
	return PortableSession{
		CreatedAt: s.CreatedAt, MAC: p.MAC.String(), Hostname: p.Hostname, Type: s.Type, State: s.State,
		TimeSecs: s.TimeSecs, TimeUsedSecs: s.TimeUsedSecs, DataBytes: s.DataBytes, DataUsedBytes: s.DataUsedBytes,
		DownBPS: s.DownBPS, UpBPS: s.UpBPS, UseGlobalSpeed: s.UseGlobalSpeed, ExpDays: s.ExpDays, StartedAt: s.StartedAt,
	}
}

// portablesFrom reads JSON lines; empty ones are passed over.
func portablesFrom(body []byte) (list []sessions.Portable, err error) {
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		p, err := portableFrom(line)
		if err != nil {
			var own *sessions.Error
			if errors.As(err, &own) {
				own.Message = fmt.Sprintf("line %d: %s", number, own.Message)
			}
			return nil, err
		}
		p.Line = number
		list = append(list, p)
	}
	return list, nil
}

func portableFrom(line []byte) (sessions.Portable, error) {
	o := readObject(line, portableFields...)
	for _, field := range []string{"created_at", "mac", "type", "state"} {
		if !o.has(field) {
			o.fail(field, "missing")
		}
	}
	p := sessions.Portable{Hostname: o.string("hostname"), Session: sessions.Session{
		Type: o.sessionType("type"), State: sessions.State(o.string("state")), Created: o.time("created_at"),
		Time: o.secs("time_secs"), TimeUsed: o.secs("time_used_secs"),
		Bytes: o.amount("data_bytes"), Used: o.amount("data_used_bytes"),
		DownBPS: o.amount("down_bps"), UpBPS: o.amount("up_bps"), UseGlobalSpeed: o.bool("use_global_speed"),
		ExpDays: o.expDays(),
	}}
	if o.has("started_at") {
		p.Session.Started = o.time("started_at")
	}
	if o.err == nil && !slices.Contains(states, p.Session.State) {
		o.fail("state", "%q is not a state (want one of %v)", p.Session.State, states)
	}
	mac, err := dataplane.ParseMAC(o.string("mac"))
	if err != nil {
		o.fail("mac", "%s", err)
	}
	p.MAC = mac
	return p, o.err
}
