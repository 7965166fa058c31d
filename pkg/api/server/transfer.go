// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxImport bounds an import: some 150,000 purchases.
const maxImport = 64 << 20

type transferHandlers struct{ backend }

func (h transferHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/export", query: []string{"all"}, handler: h.export},
		{method: "POST", path: "/v1/import", handler: h.importSessions, maxBody: maxImport},
	}
}

func (h transferHandlers) export(c *call) (*reply, error) {
	all := false
	if text := c.args.Get("all"); text != "" {
		var err error
		if all, err = strconv.ParseBool(text); err != nil {
			return nil, sessions.Invalidf("all", "%q is neither true nor false", text)
		}
	}
	opened := false
	out := bufio.NewWriter(c.w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	open := func() {
		opened = true
		c.w.Header().Set("Content-Type", wire.TypeLines)
		c.w.Header().Set("Cache-Control", "no-store")
		c.w.WriteHeader(http.StatusOK)
	}
	err := h.rules.Export(c.Context(), all, func(p sessions.Portable) error {
		if !opened {
			open()
		}
		if c.caller.role < operator {
			p.Claim = nil // 60 random bits can be found by trying, with the hash at hand
		}
		return encoder.Encode(portableOf(p))
	})
	if err != nil {
		return nil, h.abort(opened, err) // the client must not take it for all
	}
	if !opened {
		open()
	}
	return nil, h.abort(opened, out.Flush())
}

func (h transferHandlers) importSessions(c *call) (*reply, error) {
	list, err := portablesFrom(c.body)
	if err != nil {
		return nil, err
	}
	done, err := h.rules.Import(c.Context(), list)
	if err != nil {
		return nil, err
	}
	return ok(api.Imported(done))
}

func portableOf(p sessions.Portable) api.PortableSession {
	s := sessionOf(p.Session)
	out := api.PortableSession{
		CreatedAt: s.CreatedAt, MAC: p.MAC.String(), Hostname: p.Hostname, Type: s.Type, State: s.State,
		TimeSecs: s.TimeSecs, TimeUsedSecs: s.TimeUsedSecs, DataBytes: s.DataBytes, DataUsedBytes: s.DataUsedBytes,
		DownBPS: s.DownBPS, UpBPS: s.UpBPS, UseGlobalSpeed: s.UseGlobalSpeed, ExpDays: s.ExpDays, StartedAt: s.StartedAt,
		Reference: s.Reference,
	}
	if p.Claim != nil {
		hash := p.Claim.String()
		out.ClaimHash = &hash
	}
	return out
}

var portableFields = []string{
	"created_at", "mac", "hostname", "type", "state", "time_secs", "time_used_secs", "data_bytes", "data_used_bytes",
	"down_bps", "up_bps", "use_global_speed", "exp_days", "started_at", "claim_hash", "reference",
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
	o := wire.ReadObject(line, portableFields...)
	for _, field := range []string{"created_at", "mac", "type", "state"} {
		if !o.Has(field) {
			o.Fail(field, "missing")
		}
	}
	p := sessions.Portable{Hostname: o.String("hostname"), Session: sessions.Session{
		Type: o.SessionType("type"), State: sessions.State(o.String("state")), Created: o.Time("created_at"),
		Time: o.Secs("time_secs"), TimeUsed: o.Secs("time_used_secs"),
		Bytes: o.Amount("data_bytes"), Used: o.Amount("data_used_bytes"),
		DownBPS: o.Amount("down_bps"), UpBPS: o.Amount("up_bps"), UseGlobalSpeed: o.Bool("use_global_speed"),
		ExpDays: o.ExpDays(), Reference: o.String("reference"),
	}}
	if o.Has("started_at") {
		p.Session.Started = o.Time("started_at")
	}
	if o.Err() == nil && !slices.Contains(sessions.States(), p.Session.State) {
		o.Fail("state", "%q is not a state (want one of %v)", p.Session.State, sessions.States())
	}
	if o.Has("claim_hash") {
		hash, err := sessions.ParseClaimHash(o.String("claim_hash"))
		o.Keep(err)
		p.Claim = &hash
	}
	mac, err := dataplane.ParseMAC(o.String("mac"))
	if err != nil {
		o.Fail("mac", "%s", err)
	}
	p.MAC = mac
	return p, o.Err()
}
