// SPDX-License-Identifier: Apache-2.0

package sessions

import "time"

// EventType names a transition.
type EventType string

// The events. Each is stored in the transaction of its transition and published
// after that committed.
const (
	DeviceCreated      EventType = "device.created"
	DeviceUpdated      EventType = "device.updated"
	SessionCreated     EventType = "session.created"
	SessionUpdated     EventType = "session.updated"
	SessionStarted     EventType = "session.started"
	SessionPaused      EventType = "session.paused"
	SessionLow         EventType = "session.low"
	SessionConsumed    EventType = "session.consumed"
	SessionExpired     EventType = "session.expired"
	ClientConnected    EventType = "client.connected"
	ClientDisconnected EventType = "client.disconnected"
	ClientConflict     EventType = "client.conflict"
	DatabaseRescued    EventType = "database.rescued"

	InterfaceUnprotected EventType = "interface.unprotected"
	InterfaceProtected   EventType = "interface.protected"
)

// Event is one transition. Seq starts at 1 and has no gaps, but before DatabaseRescued.
type Event struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Type    EventType `json:"type"`
	Device  DeviceID  `json:"device_id,omitempty"`
	MAC     string    `json:"mac,omitempty"`
	Session SessionID `json:"session_id,omitempty"`
	Reason  string    `json:"reason,omitempty"`  // why a client was disconnected: request, consumed, expired, idle, deleted, ...
	Message string    `json:"message,omitempty"` // notify text, or detail for people

	Interface  string `json:"interface,omitempty"`   // of interface.unprotected and interface.protected
	DurationMS int64  `json:"duration_ms,omitempty"` // of interface.protected: how long it was not, rounded up
	// Of client.conflict: what differs (address, hostname, port), and from what.
	Differs string `json:"differs,omitempty"`
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"`
}
