// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"errors"
	"fmt"
)

// Code is the stable, machine-readable part of an error.
type Code string

// The codes. pkg/api maps them to HTTP statuses, both ways, in one table.
const (
	NotFound     Code = "not_found"
	NoSession    Code = "no_session"    // nothing to consume
	NotConnected Code = "not_connected" // the device has no running session
	Invalid      Code = "invalid"       // bad input; Field names it
	Conflict     Code = "conflict"
	Full         Code = "full" // max_clients reached
	Forbidden    Code = "forbidden"
	Unavailable  Code = "unavailable" // try again later
	Gone         Code = "gone"        // a place among the events; its cause is a LostPlace
	Internal     Code = "internal"
)

// Error is an error that a caller can act on. Its message is written for people:
// what failed and why, naming field and value where input was bad.
type Error struct {
	Code    Code
	Field   string // the offending field, for Invalid
	Message string
	Err     error // cause, for logs; not part of the message
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. A %w operand becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Invalidf makes an Invalid error about a field.
func Invalidf(field, format string, args ...any) *Error {
	e := Errorf(Invalid, format, args...)
	e.Field = field
	e.Message = field + ": " + e.Message
	return e
}

// CodeOf returns the code of err: Internal for one that carries none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
