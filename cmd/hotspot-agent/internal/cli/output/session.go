// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Session shows the answer of a call about one session, or returns its error.
func Session(w io.Writer, c *cli.Context, session api.Session, err error) error {
	if err != nil {
		return err
	}
	return Show(w, c, session, func(w io.Writer, s api.Session) { Fields(w, SessionFields(s)...) })
}

// SessionFields are names and values of a session, for [Fields].
func SessionFields(s api.Session) []string {
	pairs := []string{
		"session", ID(s.ID),
		"device", ID(s.DeviceID),
		"type", s.Type,
		"state", string(s.State),
		"remaining", Remaining(s),
	}
	if s.TimeSecs > 0 {
		pairs = append(pairs, "time", fmt.Sprintf("%s, %s used", secs(s.TimeSecs), secs(s.TimeUsedSecs)))
	}
	if s.DataBytes > 0 {
		pairs = append(pairs, "data", fmt.Sprintf("%s, %s used", units.FormatBytes(s.DataBytes), units.FormatBytes(s.DataUsedBytes)))
	}
	if s.Reference != "" {
		pairs = append(pairs, "reference", s.Reference)
	}
	return append(pairs,
		"down / up", Speeds(s),
		"expires", Expires(s),
		"provider", s.Provider,
		"started", StampOf(s.StartedAt),
		"created", Stamp(s.CreatedAt),
	)
}

func secs(n int64) string { return units.FormatTime(time.Duration(n) * time.Second) }

// Remaining is what is left of a session, of each allowance that bounds it.
func Remaining(s api.Session) string {
	var left []string
	kind, _ := sessions.ParseType(s.Type)
	if kind.Timed() {
		left = append(left, secs(s.RemainingSecs))
	}
	if kind.Metered() {
		left = append(left, units.FormatBytes(s.RemainingBytes))
	}
	return strings.Join(left, " or ")
}

// Speeds is down / up.
func Speeds(s api.Session) string {
	if s.UseGlobalSpeed {
		return "global"
	}
	if s.DownBPS == 0 && s.UpBPS == 0 {
		return "no limit"
	}
	return units.FormatLimit(s.DownBPS) + " / " + units.FormatLimit(s.UpBPS)
}

// Expires is when a session expires.
func Expires(s api.Session) string {
	switch {
	case s.ExpiresAt != nil:
		return Stamp(*s.ExpiresAt)
	case s.ExpDays != nil:
		return Count(int(*s.ExpDays), "day", "days") + " after its start"
	}
	return "never"
}
