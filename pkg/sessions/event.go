// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"
)

// ReasonPort is why a device was disconnected that turned up on another port.
const ReasonPort = "port"

// What the MAC of a connected device may turn up with another of.
const (
	DiffersAddress  = "address" // IPv4
	DiffersHostname = "hostname"
	DiffersPort     = "port" // of a bridge
)

// The reasons of client.conflict. One change alone has harmless causes: a new lease,
// a walk to another access point. Only two machines
// that share a MAC alternate.
const (
	ReasonMoved  = "moved"
	ReasonShared = "shared" // the former value came back within a minute
)

// EventType names a transition.
type EventType string

// The events. Each is stored in the transaction of its transition and published
// after that committed.
const (
	DeviceCreated      EventType = "device.created"
	DeviceUpdated      EventType = "device.updated"
	DeviceDeleted      EventType = "device.deleted"
	SessionCreated     EventType = "session.created"
	SessionUpdated     EventType = "session.updated"
	SessionDeleted     EventType = "session.deleted"
	SessionStarted     EventType = "session.started"
	SessionPaused      EventType = "session.paused"
	SessionLow         EventType = "session.low"
	SessionConsumed    EventType = "session.consumed"
	SessionExpired     EventType = "session.expired"
	ClientConnected    EventType = "client.connected"
	ClientDisconnected EventType = "client.disconnected"
	ClientConflict     EventType = "client.conflict"
	ClientCaptive      EventType = "client.captive"
	DatabaseRescued    EventType = "database.rescued"

	InterfaceUnprotected EventType = "interface.unprotected"
	InterfaceProtected   EventType = "interface.protected"

	HealthProblem  EventType = "health.problem"
	HealthResolved EventType = "health.resolved"
)

// EventsLost is the event that a client makes of a LostPlace, before those that are left.
const EventsLost EventType = "events.lost"

// EventTypes returns the types of events that are stored.
func EventTypes() []EventType {
	return []EventType{
		DeviceCreated, DeviceUpdated, DeviceDeleted, SessionCreated, SessionUpdated, SessionDeleted, SessionStarted, SessionPaused, SessionLow,
		SessionConsumed, SessionExpired, ClientConnected, ClientDisconnected, ClientConflict, ClientCaptive, DatabaseRescued,
		InterfaceUnprotected, InterfaceProtected, HealthProblem, HealthResolved,
	}
}

// Event is one transition. Seq starts at 1 and has no gaps, but before DatabaseRescued.
type Event struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Type    EventType `json:"type"`
	Device  DeviceID  `json:"device_id,omitempty"`
	MAC     string    `json:"mac,omitempty"`
	Session SessionID `json:"session_id,omitempty"`
	Reason  string    `json:"reason,omitempty"`  // why a client was disconnected: request, consumed, expired, idle, deleted, ...; the code of a problem
	Message string    `json:"message,omitempty"` // notify text, or detail for people

	Interface  string `json:"interface,omitempty"`   // of interface.unprotected, interface.protected and problems
	DurationMS int64  `json:"duration_ms,omitempty"` // of interface.protected and health.resolved: how long it lasted, rounded up
	// Of an answer of the API: that of the database in which Seq was found. Not stored.
	Generation string `json:"generation,omitempty"`

	// Of client.conflict: what differs (address, hostname, port), and from what.
	Differs string `json:"differs,omitempty"`
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"`
}

// Why a client was disconnected or a session stopped: the Reason of an event.
const (
	ReasonRequest  = "request"  // Disconnect was called
	ReasonConsumed = "consumed" // the session is used up
	ReasonExpired  = "expired"
	ReasonIdle     = "idle"    // the device was silent for the idle time-out
	ReasonDeleted  = "deleted" // the session or device was deleted by a caller
	ReasonReboot   = "reboot"  // the machine was started again
	ReasonStopped  = "stopped" // the agent was, and its configuration says to disconnect
	ReasonTrusted  = "trusted" // the configuration lets the device through without a session
	ReasonBlocked  = "blocked" // the configuration blocks the device
	ReasonFailed   = "failed"  // the kernel refused; Message says what
)

// ReasonForgotten is the Reason of session.deleted and device.deleted by the retention of the
// configuration.
const ReasonForgotten = "forgotten"

// ReasonMerged is why a device was deleted that another one's new MAC was known as.
const ReasonMerged = "merged"

// ReasonImported is the Reason of session.created for an imported purchase.
const ReasonImported = "imported"

// ReasonClaimed is why a session went to another device: its code was claimed.
// When the operator moved it, the reason is ReasonMoved.
const ReasonClaimed = "claimed"
