// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The types on the wire. Client methods return them, and they marshal to exactly
// the JSON they came from. Times are UTC.

// Device is a client machine.
type Device struct {
	ID        int64     `json:"id"`
	MAC       string    `json:"mac"` // lower-case, with colons
	IP        string    `json:"ip"`  // the address seen last; "" for none
	IPs       []string  `json:"ips"` // most recent first
	Hostname  string    `json:"hostname"`
	CreatedAt time.Time `json:"created_at"`
}

// Session is a purchase of a device. Seconds that are used count once they are
// full, so remaining_secs + time_used_secs is time_secs. What does not bound the
// type (the seconds of a data session) has 0 remaining.
type Session struct {
	ID             int64          `json:"id"` // 0: still at its provider, never started here
	DeviceID       int64          `json:"device_id"`
	Provider       string         `json:"provider"`
	Type           string         `json:"type"` // time, data or time_or_data
	State          sessions.State `json:"state"`
	TimeSecs       int64          `json:"time_secs"`
	TimeUsedSecs   int64          `json:"time_used_secs"`
	RemainingSecs  int64          `json:"remaining_secs"`
	DataBytes      uint64         `json:"data_bytes"`
	DataUsedBytes  uint64         `json:"data_used_bytes"`
	RemainingBytes uint64         `json:"remaining_bytes"`
	DownBPS        uint64         `json:"down_bps"` // bit/s, 0 for no limit
	UpBPS          uint64         `json:"up_bps"`
	UseGlobalSpeed bool           `json:"use_global_speed"`
	ExpDays        *uint          `json:"exp_days"` // null: never expires
	StartedAt      *time.Time     `json:"started_at"`
	ExpiresAt      *time.Time     `json:"expires_at"`
	CreatedAt      time.Time      `json:"created_at"`
}

// Purchase is a session that was just bought.
type Purchase struct {
	Session
	// Claim is the code by which the customer can take it to another device. Print
	// it: it is not stored, and nobody is told it again.
	Claim string `json:"claim"`
}

// Traffic is what the kernel counted for a device's running session: forwarded
// wire bytes and packets, and the rates of the last moment in bit/s.
type Traffic struct {
	UpBytes        uint64     `json:"up_bytes"`
	DownBytes      uint64     `json:"down_bytes"`
	UpPackets      uint64     `json:"up_packets"`
	DownPackets    uint64     `json:"down_packets"`
	DroppedPackets uint64     `json:"dropped_packets"`
	UpBPS          uint64     `json:"up_bps"`
	DownBPS        uint64     `json:"down_bps"`
	LastSeen       *time.Time `json:"last_seen"`
}

// DeviceStatus is one device at one moment.
type DeviceStatus struct {
	Device    Device   `json:"device"`
	Connected bool     `json:"connected"`
	Session   *Session `json:"session"` // the running one
	Traffic   Traffic  `json:"traffic"`
}

// Event is one transition; see the constants of package sessions.
type Event = sessions.Event

// Provider is a registered session provider.
type Provider struct {
	Name   string `json:"name"`
	Socket string `json:"socket"` // Unix socket on which its process answers
}

func deviceOf(d sessions.Device) Device {
	ips := make([]string, 0, len(d.IPs))
	for _, ip := range d.IPs {
		ips = append(ips, ip.String())
	}
	latest := ""
	if len(ips) > 0 {
		latest = ips[0]
	}
	return Device{
		ID: int64(d.ID), MAC: d.MAC.String(), IP: latest, IPs: ips,
		Hostname: d.Hostname, CreatedAt: d.Created.UTC(),
	}
}

func purchaseOf(p sessions.Purchase) Purchase {
	return Purchase{Session: sessionOf(p.Session), Claim: p.Claim}
}

func sessionOf(s sessions.Session) Session {
	bought, used := int64(s.Time/time.Second), int64(s.TimeUsed/time.Second)
	wire := Session{
		ID: int64(s.ID), DeviceID: int64(s.Device), Provider: s.Provider,
		Type: typeName(s.Type), State: s.State,
		TimeSecs: bought, TimeUsedSecs: used, RemainingSecs: max(bought-used, 0),
		DataBytes: s.Bytes, DataUsedBytes: s.Used, RemainingBytes: s.Bytes - min(s.Used, s.Bytes),
		DownBPS: s.DownBPS, UpBPS: s.UpBPS, UseGlobalSpeed: s.UseGlobalSpeed,
		ExpDays: s.ExpDays, StartedAt: timeOf(s.Started), CreatedAt: s.Created.UTC(),
	}
	if s.Type == sessions.Data {
		wire.RemainingSecs = 0
	}
	if s.Type == sessions.Time {
		wire.RemainingBytes = 0
	}
	if at, ok := s.Expires(); ok {
		wire.ExpiresAt = timeOf(at)
	}
	return wire
}

func statusOf(s sessions.Status) DeviceStatus {
	wire := DeviceStatus{Device: deviceOf(s.Device), Connected: s.Connected, Traffic: trafficOf(s.Traffic)}
	if s.Session != nil {
		running := sessionOf(*s.Session)
		wire.Session = &running
	}
	return wire
}

func trafficOf(t sessions.Traffic) Traffic {
	return Traffic{
		UpBytes: t.UpBytes, DownBytes: t.DownBytes, UpPackets: t.UpPackets, DownPackets: t.DownPackets,
		DroppedPackets: t.DroppedPackets, UpBPS: t.UpBPS, DownBPS: t.DownBPS, LastSeen: timeOf(t.LastSeen),
	}
}

func eventOf(e sessions.Event) Event {
	e.Time = e.Time.UTC()
	return e
}

// timeOf returns null for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// each converts a slice; the result is never null in JSON.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, v := range in {
		out = append(out, convert(v))
	}
	return out
}
