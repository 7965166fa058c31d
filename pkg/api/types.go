// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// typeNames are the names of the session types on the wire, by their number.
var typeNames = [...]string{
	sessions.Time:       "time",
	sessions.Data:       "data",
	sessions.TimeOrData: "time_or_data",
}

func typeName(t sessions.Type) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

// ParseType reads a session type: its name, or the seed's number for it.
func ParseType(s string) (sessions.Type, error) {
	for number, name := range typeNames {
		if s == name || s == strconv.Itoa(number) {
			return sessions.Type(number), nil
		}
	}
	return 0, sessions.Invalidf("type", "%q is not a session type (want time, data or time_or_data)", s)
}
