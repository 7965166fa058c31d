// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// AgentStatus is GET /v1/status: the state of the agent. The program that knows
// all parts fills it; this package only carries it.
type AgentStatus struct {
	Version    string            `json:"version"`
	Kernel     string            `json:"kernel"`      // release of the running kernel
	AttachMode string            `json:"attach_mode"` // tcx, clsact, mixed, or none while nothing is attached
	Limiter    string            `json:"limiter"`     // bucket or fair: how speeds are held
	StartedAt  time.Time         `json:"started_at"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	Counts     Counts            `json:"counts"`
	Health     Health            `json:"health"`
	Drops      []PacketCount     `json:"drops"`  // frames that were not forwarded, by reason
	Passes     []PacketCount     `json:"passes"` // frames that passed, by reason
	// Answers counts frames of devices that may not pass which became the answer to them.
	Answers []PacketCount `json:"answers"`
	Garden  GardenCounts  `json:"garden"` // of names in the walled garden
}

// InterfaceStatus is one client-facing interface.
type InterfaceStatus struct {
	Name     string     `json:"name"`
	Index    int        `json:"index"` // 0 while the interface does not exist
	Attached bool       `json:"attached"`
	Mode     string     `json:"mode"`           // tcx, clsact, or "" while not attached
	Port     bool       `json:"port"`           // a bridge port: only frames to or from the router are metered
	Since    *time.Time `json:"attached_since"` // null while not attached
	// UnprotectedMS is how long it was up without the programs in all, since the agent started.
	UnprotectedMS int64 `json:"unprotected_ms"`
}

// Counts are the agent's figures.
type Counts struct {
	Devices    int            `json:"devices"`
	Visitors   int            `json:"visitors"` // devices that bought nothing, in memory only
	Connected  int            `json:"connected"`
	Sessions   map[string]int `json:"sessions"` // by state
	Clients    int            `json:"clients"`  // rules in the kernel
	MaxClients int            `json:"max_clients"`
	Providers  int            `json:"providers"`
	LastEvent  int64          `json:"last_event_seq"` // follow GET /v1/events?after= from here for what comes
	Generation string         `json:"generation"`     // of that number
}

// Health says whether everything works, and what does not.
type Health struct {
	OK           bool            `json:"ok"`
	Problems     []string        `json:"problems"`       // one line each, for people
	Active       []ActiveProblem `json:"active"`         // the same problems, for programs
	ClockSane    bool            `json:"clock_sane"`     // false: the wall clock is not set or not confirmed, expiry waits
	LastSettleAt *time.Time      `json:"last_settle_at"` // null before the first
}

// ActiveProblem is a problem that there is now.
type ActiveProblem struct {
	Code      string `json:"code"`      // stable label
	Interface string `json:"interface"` // client-facing; "" where it concerns none or all
	Subject   string `json:"subject"`   // what else it is about: a provider's name, a file; or ""
	Detail    string `json:"detail"`    // one line, for people
	Exposed   bool   `json:"exposed"`   // customers can slip through unpaid, pay for nothing, or are cut off
}

// PacketCount is one of the kernel's tallies.
type PacketCount struct {
	Direction string `json:"direction"` // up or down
	Reason    string `json:"reason"`
	Frames    uint64 `json:"frames"`
	Bytes     uint64 `json:"bytes"`
}

type statusCalls struct{ agent *transport }

// Status describes the agent.
func (c statusCalls) Status(ctx context.Context) (AgentStatus, error) {
	return fetch[AgentStatus](ctx, c.agent, http.MethodGet, "/v1/status", nil)
}

// OpenAPI returns the document that describes the API.
func (c statusCalls) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	return c.agent.Do(ctx, http.MethodGet, "/openapi.json", nil)
}
