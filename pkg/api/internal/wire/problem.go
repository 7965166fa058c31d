// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Problem is the body of every error answer: RFC 9457, application/problem+json.
type Problem struct {
	Type   string        `json:"type"` // always about:blank: Code says what happened
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Detail string        `json:"detail"`
	Code   sessions.Code `json:"code"`
	Field  string        `json:"field,omitempty"` // the offending field, for Invalid

	// For Gone: the events that are stored, and the generation of the database.
	First      *int64 `json:"first,omitempty"`
	Last       *int64 `json:"last,omitempty"`
	Generation string `json:"generation,omitempty"`
}

// NextCursor is the header of a page of a list behind which there is another one.
const NextCursor = "Next-Cursor"

// Media types of answers.
const (
	TypeJSON    = "application/json"
	TypePatch   = "application/merge-patch+json" // RFC 7396
	TypeProblem = "application/problem+json"
	TypeCaptive = "application/captive+json" // RFC 8908
	TypeLines   = "application/x-ndjson"     // one JSON value a line
)

// codes is the one table between codes and HTTP statuses. Towards HTTP the row of
// the code is used; back, where an answer carries no problem document, the first
// row of the status.
var codes = []struct {
	code   sessions.Code
	status int
	title  string
}{
	{sessions.Invalid, http.StatusBadRequest, "Invalid input"},
	{sessions.NotFound, http.StatusNotFound, "Not found"},
	{sessions.NoSession, http.StatusNotFound, "Nothing to consume"},
	{sessions.NotConnected, http.StatusNotFound, "Not connected"},
	{sessions.Conflict, http.StatusConflict, "Conflict"},
	{sessions.Forbidden, http.StatusForbidden, "Forbidden"},
	{sessions.Full, http.StatusInsufficientStorage, "Full"},
	{sessions.Gone, http.StatusGone, "Gone"},
	{sessions.Unavailable, http.StatusServiceUnavailable, "Unavailable"},
	{sessions.Internal, http.StatusInternalServerError, "Internal error"},
}

// Codes returns all codes.
func Codes() []sessions.Code {
	var all []sessions.Code
	for _, row := range codes {
		all = append(all, row.code)
	}
	return all
}

func problemOf(code sessions.Code) Problem {
	for _, row := range codes {
		if row.code == code {
			return Problem{Type: "about:blank", Title: row.title, Status: row.status, Code: code}
		}
	}
	return problemOf(sessions.Internal)
}

func codeOfStatus(status int) sessions.Code {
	for _, row := range codes {
		if row.status == status {
			return row.code
		}
	}
	if status >= 400 && status < 500 {
		return sessions.Invalid
	}
	return sessions.Internal
}

// ProblemFrom turns an error into what the caller may see of it. The text of an
// internal error stays in the log.
func ProblemFrom(err error) Problem {
	var own *sessions.Error
	switch {
	case errors.As(err, &own) && own.Code != sessions.Internal:
		p := problemOf(own.Code)
		p.Detail, p.Field = own.Message, own.Field
		if lost := (*sessions.LostPlace)(nil); errors.As(own, &lost) {
			p.First, p.Last, p.Generation = &lost.First, &lost.Last, lost.Generation.String()
		}
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p := problemOf(sessions.Unavailable)
		p.Detail = "the request was given up before it was done"
		return p
	}
	p := problemOf(sessions.Internal)
	p.Detail = "internal error; the agent's log says more"
	return p
}

// WriteProblem answers a request with a problem document (RFC 9457) and its status.
func WriteProblem(w http.ResponseWriter, p Problem) {
	w.Header().Set("Content-Type", TypeProblem)
	WriteJSON(w, p.Status, p)
}

// WriteJSON answers a request with a JSON body, which no cache may store. The content type
// is the caller's to set. It panics when body has no form in JSON.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	text := JSON(body)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	// The status is out: an error here means that the client went away.
	_, _ = w.Write(text)
}

// JSON is a value as answers have it, with a line end. It panics when there is no such
// form.
func JSON(value any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // a type of ours that JSON cannot hold
	}
	return text.Bytes()
}

// AsError is the way back: the *sessions.Error that a problem document stands for.
func (p Problem) AsError() *sessions.Error {
	code := p.Code
	if code == "" {
		code = codeOfStatus(p.Status)
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &sessions.Error{Code: code, Field: p.Field, Message: message, Err: p.lostPlace()}
}

// lostPlace is the cause of Gone.
func (p Problem) lostPlace() error {
	if p.First == nil || p.Last == nil {
		return nil
	}
	g, err := sessions.ParseGeneration(p.Generation)
	if err != nil {
		return nil //nolint:nilerr // of an agent that is none of ours: no lost place is known
	}
	return &sessions.LostPlace{First: *p.First, Last: *p.Last, Generation: g}
}

// ParseProblem reads a problem document, or makes the best of an answer without one.
func ParseProblem(answer *http.Response) Problem {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var problem Problem
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), TypeProblem) || json.Unmarshal(raw, &problem) != nil {
		problem = Problem{Status: answer.StatusCode, Detail: fmt.Sprintf("HTTP status %s: %s", answer.Status, Quote(raw))}
	}
	return problem
}
