// SPDX-License-Identifier: Apache-2.0

// Package config reads the agent's configuration file: strictly, with the line, the key
// and the value of every problem.
package config

import (
	"log/slog"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// DefaultPath is the file of the daemon without --config.
const DefaultPath = "/etc/hotspot-agent/config.yaml"

// DefaultSocket is where the daemon listens and its clients connect.
const DefaultSocket = "/run/hotspot-agent/agent.sock"

// Config is the whole configuration, checked.
type Config struct {
	Interfaces  []string // client-facing
	StateDir    string   // hotspot.db lives here
	Socket      string
	SocketGroup string // may use the socket, beside root; empty: none
	ViewerGroup string // may read, and nothing else; empty: none
	BPFFS       string
	MaxClients  uint32

	GlobalDownBPS, GlobalUpBPS uint64 // bit/s, 0 for no limit

	Checkpoint        time.Duration
	LowBalancePercent int // 0: no session.low event
	OnStop            StopMode
	AfterReboot       RebootMode
	IdleTimeout       time.Duration // 0: never
	ForgetDevices     time.Duration // devices without sessions, unseen this long; 0: never
	KeepSessions      time.Duration // sessions that are over; 0: for ever

	Bind             sessions.BindMode // what a connected device has to keep beside its MAC
	Trusted, Blocked []dataplane.MAC
	Attach           dataplane.AttachMode
	Limiter          dataplane.Limiter
	TCPWindowClamp   bool             // with limiter fair, TCP receive windows are clamped to the share
	Uplink           dataplane.Uplink // what all clients share
	Garden           dataplane.Garden
	Portals          []dataplane.Portal // services that any device may reach before paying
	Captive          dataplane.Captive  // what a device that may not pass is answered
	CaptiveAPI       string             // URL of the RFC 8908 API to announce; empty: none

	LogLevel      slog.Level
	LogFormat     LogFormat
	MetricsListen string // host:port of the Prometheus listener; empty: off
}

// StopMode says what a clean stop does to connected devices.
type StopMode string

// The stop modes.
const (
	StopKeep       StopMode = "keep"       // the kernel keeps enforcing what was bought
	StopDisconnect StopMode = "disconnect" // every running session is paused
)

// RebootMode says what happens to sessions that ran when the machine went down.
type RebootMode string

// The reboot modes.
const (
	RebootPause  RebootMode = "pause"
	RebootResume RebootMode = "resume"
)

// LogFormat is how log lines are written.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Default is what an empty file means.
func Default() Config {
	return Config{
		Interfaces:        []string{"br-lan"},
		StateDir:          "/var/lib/hotspot-agent",
		Socket:            DefaultSocket,
		BPFFS:             "/sys/fs/bpf/hotspot-agent",
		MaxClients:        4096,
		Checkpoint:        15 * time.Second,
		LowBalancePercent: 10,
		OnStop:            StopKeep,
		AfterReboot:       RebootPause,
		ForgetDevices:     30 * 24 * time.Hour,
		KeepSessions:      400 * 24 * time.Hour,
		Attach:            dataplane.Auto,
		Bind:              sessions.BindNone,
		Limiter:           dataplane.Fair,
		TCPWindowClamp:    true,
		Portals:           []dataplane.Portal{{Port: 80, Protocol: "tcp"}, {Port: 443, Protocol: "tcp"}},
		Garden:            dataplane.Garden{Ports: []uint16{443, 80}, SpeedBPS: 1_000_000},
		Captive:           dataplane.Captive{HTTPS: dataplane.HTTPSReset, Unreachable: true, EndedQuiet: 90 * time.Second},
		LogLevel:          slog.LevelInfo,
		LogFormat:         LogText,
	}
}

// Database is the path of the store.
func (c Config) Database() string { return c.StateDir + "/hotspot.db" }
