// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// What clients send. Pointers and omitzero tell "leave it" from a value.

// NewDevice is the body of POST /v1/devices. A known MAC is updated and returned.
type NewDevice struct {
	MAC      string `json:"mac"`
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// DevicePatch is the body of PATCH /v1/devices/{device}; nil leaves a field.
type DevicePatch struct {
	MAC      *string `json:"mac,omitempty"`
	IP       *string `json:"ip,omitempty"`
	Hostname *string `json:"hostname,omitempty"`
}

// NewSession is the body of POST /v1/sessions.
type NewSession struct {
	Device         string `json:"device"` // id, MAC or IP; a MAC not yet known becomes a device
	Type           string `json:"type"`
	TimeSecs       int64  `json:"time_secs,omitempty"`
	DataBytes      uint64 `json:"data_bytes,omitempty"`
	ExpDays        *uint  `json:"exp_days"` // nil: never expires
	DownBPS        uint64 `json:"down_bps,omitempty"`
	UpBPS          uint64 `json:"up_bps,omitempty"`
	UseGlobalSpeed bool   `json:"use_global_speed,omitempty"`
}

// SessionPatch is the body of PATCH /v1/sessions/{id}; what is nil stays as it is.
// It takes effect on the next packet of a running session.
type SessionPatch struct {
	Type          *string `json:"type,omitempty"`
	TimeSecs      *int64  `json:"time_secs,omitempty"`  // new total
	DataBytes     *uint64 `json:"data_bytes,omitempty"` // new total
	AddTimeSecs   *int64  `json:"add_time_secs,omitempty"`
	AddDataBytes  *uint64 `json:"add_data_bytes,omitempty"`
	TimeUsedSecs  *int64  `json:"time_used_secs,omitempty"`
	DataUsedBytes *uint64 `json:"data_used_bytes,omitempty"`

	AddTimeUsedSecs  *int64  `json:"add_time_used_secs,omitempty"`
	AddDataUsedBytes *uint64 `json:"add_data_used_bytes,omitempty"`

	StartedAt      *time.Time `json:"started_at,omitempty"`
	ExpDays        Expiry     `json:"exp_days,omitzero"`
	DownBPS        *uint64    `json:"down_bps,omitempty"`
	UpBPS          *uint64    `json:"up_bps,omitempty"`
	UseGlobalSpeed *bool      `json:"use_global_speed,omitempty"`
}

// Expiry is a change of exp_days, which null makes "never". The zero value
// changes nothing.
type Expiry struct {
	Set  bool
	Days *uint // nil: never
}

// MarshalJSON is the days, or null.
func (e Expiry) MarshalJSON() ([]byte, error) { return json.Marshal(e.Days) }

// The largest amounts: what the agent's time and the database's integers hold.
const (
	maxSecs  = int64(math.MaxInt64 / time.Second)
	maxBytes = math.MaxInt64
	maxDays  = int64(math.MaxInt64 / (24 * time.Hour))
)

func newDeviceFrom(body []byte) (sessions.DeviceSpec, error) {
	o := readObject(body, "mac", "ip", "hostname")
	spec := sessions.DeviceSpec{MAC: o.string("mac"), IP: o.string("ip"), Hostname: o.string("hostname")}
	return spec, o.err
}

func devicePatchFrom(body []byte) (sessions.DevicePatch, error) {
	o := readObject(body, "mac", "ip", "hostname")
	patch := sessions.DevicePatch{
		MAC:      optional(o, "mac", o.string),
		IP:       optional(o, "ip", o.string),
		Hostname: optional(o, "hostname", o.string),
	}
	return patch, o.err
}

func notifyFrom(body []byte) (string, error) {
	o := readObject(body, "notify")
	return o.string("notify"), o.err
}

func providerFrom(body []byte) (sessions.ProviderRecord, error) {
	o := readObject(body, "name", "socket")
	return sessions.ProviderRecord{Name: o.string("name"), Socket: o.string("socket")}, o.err
}

// newSessionFrom returns the session without its device, and the device as the
// caller named it.
func newSessionFrom(body []byte) (sessions.SessionSpec, string, error) {
	o := readObject(body, "device", "type", "time_secs", "data_bytes", "exp_days", "down_bps", "up_bps", "use_global_speed")
	ref := o.deviceRef("device")
	if !o.has("type") {
		o.fail("type", "missing (want time, data or time_or_data)")
	}
	spec := sessions.SessionSpec{
		Type: o.sessionType("type"), Time: o.secs("time_secs"), Bytes: o.amount("data_bytes"),
		ExpDays: o.expDays(), DownBPS: o.amount("down_bps"), UpBPS: o.amount("up_bps"),
		UseGlobalSpeed: o.bool("use_global_speed"),
	}
	return spec, ref, o.err
}

// sessionPatchFrom returns the changes, or the device that the session goes to.
func sessionPatchFrom(body []byte) (patch sessions.SessionPatch, to string, err error) {
	o := readObject(body, "device", "type", "time_secs", "data_bytes", "add_time_secs", "add_data_bytes",
		"time_used_secs", "data_used_bytes", "add_time_used_secs", "add_data_used_bytes", "started_at", "exp_days", "down_bps", "up_bps", "use_global_speed")
	if o.has("device") {
		if to = o.deviceRef("device"); len(o.fields) > 1 {
			o.fail("device", "%q: a session goes to another device by itself, without other changes", to)
		}
		return patch, to, o.err
	}
	patch = sessions.SessionPatch{
		Type: optional(o, "type", o.sessionType),
		Time: optional(o, "time_secs", o.secs), AddTime: optional(o, "add_time_secs", o.secs),
		TimeUsed: optional(o, "time_used_secs", o.secs), AddTimeUsed: optional(o, "add_time_used_secs", o.secs),
		Started: optional(o, "started_at", o.time),
		Bytes:   optional(o, "data_bytes", o.amount), AddBytes: optional(o, "add_data_bytes", o.amount),
		Used: optional(o, "data_used_bytes", o.amount), AddUsed: optional(o, "add_data_used_bytes", o.amount),
		DownBPS: optional(o, "down_bps", o.amount), UpBPS: optional(o, "up_bps", o.amount),
		UseGlobalSpeed: optional(o, "use_global_speed", o.bool),
	}
	if o.has("exp_days") || o.hasNull("exp_days") {
		days := o.expDays()
		patch.ExpDays = &days
	}
	return patch, "", o.err
}

func optional[T any](o *object, field string, read func(string) T) *T {
	if !o.has(field) {
		if o.hasNull(field) {
			o.fail(field, "null is not a value; leave the field out to keep it")
		}
		return nil
	}
	value := read(field)
	return &value
}

func (o *object) secs(field string) time.Duration {
	return time.Duration(o.whole(field, 0, maxSecs)) * time.Second
}

func (o *object) amount(field string) uint64 { return uint64(o.whole(field, 0, maxBytes)) }

func (o *object) expDays() *uint {
	if !o.has("exp_days") {
		return nil
	}
	days := uint(o.whole("exp_days", 0, maxDays))
	return &days
}

// sessionType takes the name or the number, as a number or as a string.
func (o *object) sessionType(field string) sessions.Type {
	if !o.has(field) {
		return 0
	}
	raw := string(o.fields[field])
	parsed, err := ParseType(strings.Trim(raw, `"`))
	if err != nil {
		o.fail(field, "%s is not a session type (want time, data or time_or_data)", quote([]byte(raw)))
	}
	return parsed
}

// deviceRef takes an id as a number, or an id, MAC or IP as a string.
func (o *object) deviceRef(field string) string {
	raw := o.fields[field]
	switch {
	case !o.has(field):
		o.fail(field, "missing (want an id, a MAC or an IP)")
	case raw[0] == '"':
		return o.string(field)
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		o.fail(field, "%s is neither an id, a MAC nor an IP", quote(raw))
	default:
		return strconv.FormatInt(o.whole(field, 1, math.MaxInt64), 10)
	}
	return ""
}
