// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

// The words of the rules that callers need, so that one import is enough.
type (
	// Error is an error that a caller can act on: its code, the offending field of bad
	// input, and a message for people.
	Error = sessions.Error
	// Code is the stable, machine-readable part of an Error.
	Code = sessions.Code
	// State is where a session is in its life.
	State = sessions.State
	// Event is one transition.
	Event = sessions.Event
	// EventType names a transition.
	EventType = sessions.EventType
	// LostPlace is the cause of Gone: which events are stored.
	LostPlace = sessions.LostPlace
)

// The codes of errors.
const (
	NotFound     = sessions.NotFound
	NoSession    = sessions.NoSession    // nothing to consume
	NotConnected = sessions.NotConnected // the device has no running session
	Invalid      = sessions.Invalid      // bad input; Field names it
	Conflict     = sessions.Conflict
	Full         = sessions.Full // max_clients reached
	Forbidden    = sessions.Forbidden
	Unavailable  = sessions.Unavailable // no agent answers, or it has no capacity: try again later
	Gone         = sessions.Gone        // a place among the events; its cause is a *LostPlace
	Internal     = sessions.Internal
)

// The states of a session. Consumed and Expired last until a top-up.
const (
	Available = sessions.Available // bought, never started
	Running   = sessions.Running
	Paused    = sessions.Paused // started, keeps its balance
	Consumed  = sessions.Consumed
	Expired   = sessions.Expired
)

// The events.
const (
	DeviceCreated        = sessions.DeviceCreated
	DeviceUpdated        = sessions.DeviceUpdated
	DeviceDeleted        = sessions.DeviceDeleted
	SessionCreated       = sessions.SessionCreated
	SessionUpdated       = sessions.SessionUpdated
	SessionDeleted       = sessions.SessionDeleted
	SessionStarted       = sessions.SessionStarted
	SessionPaused        = sessions.SessionPaused
	SessionLow           = sessions.SessionLow
	SessionConsumed      = sessions.SessionConsumed
	SessionExpired       = sessions.SessionExpired
	ClientConnected      = sessions.ClientConnected
	ClientDisconnected   = sessions.ClientDisconnected
	ClientConflict       = sessions.ClientConflict
	ClientCaptive        = sessions.ClientCaptive
	DatabaseRescued      = sessions.DatabaseRescued
	InterfaceUnprotected = sessions.InterfaceUnprotected
	InterfaceProtected   = sessions.InterfaceProtected
	HealthProblem        = sessions.HealthProblem
	HealthResolved       = sessions.HealthResolved
)

// EventsLost is yielded by [Client.Events] in place of events that are missing. Its Seq is
// the number before the first that is stored.
const EventsLost = sessions.EventsLost

// CodeOf returns the code of err: Internal for one that carries none.
func CodeOf(err error) Code { return sessions.CodeOf(err) }
