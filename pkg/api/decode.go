// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// object is one strictly read JSON object: every key known, none twice, nothing
// after it. Its readers name field and value of what is wrong. The first error
// sticks, so that a caller reads all fields and asks err once. encoding/json
// alone would take keys in any case and twice, and does not name the value.
type object struct {
	fields  map[string]json.RawMessage
	prefix  string // of field names, for objects inside objects
	private bool   // messages do not repeat what is in it: they are logged
	err     error
}

// readObject reads a body. An empty one is an empty object.
func readObject(body []byte, known ...string) *object { return new(object).read(body, known...) }

func (o *object) read(body []byte, known ...string) *object {
	o.fields = map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) > 0 {
		o.err = o.parse(body, known)
	}
	return o
}

func (o *object) parse(body []byte, known []string) error {
	if !utf8.Valid(body) {
		return sessions.Invalidf("body", "not UTF-8 text")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return sessions.Invalidf("body", "%s is not a JSON object", o.excerpt(body))
	}
	for decoder.More() {
		if err := o.parseField(decoder, body, known); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return sessions.Invalidf("body", "the JSON object does not end: %s", o.excerpt(body))
	}
	if rest := bytes.TrimSpace(body[decoder.InputOffset():]); len(rest) > 0 {
		return sessions.Invalidf("body", "%s follows the JSON object", o.excerpt(rest))
	}
	return nil
}

func (o *object) parseField(decoder *json.Decoder, body []byte, known []string) error {
	token, err := decoder.Token()
	if err != nil {
		return sessions.Invalidf("body", "not JSON near %s", o.excerpt(body[decoder.InputOffset():]))
	}
	key, _ := token.(string)
	at := decoder.InputOffset()
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		text := strings.TrimLeft(string(body[at:]), ": \t\r\n")
		if end := strings.IndexAny(text, ",}\n"); end >= 0 {
			text = text[:end]
		}
		return sessions.Invalidf(o.prefix+key, "%s is not a JSON value", o.excerpt([]byte(text)))
	}
	if _, twice := o.fields[key]; twice {
		return sessions.Invalidf(o.prefix+key, "given twice, the second time as %s", o.excerpt(value))
	}
	if known != nil && !slices.Contains(known, key) {
		return sessions.Invalidf(o.prefix+key, "unknown field, with value %s (known: %s)",
			o.excerpt(value), strings.Join(known, ", "))
	}
	o.fields[key] = value
	return nil
}

// excerpt is what a message repeats of the input.
func (o *object) excerpt(raw []byte) string {
	if o.private {
		return "…"
	}
	return quote(raw)
}

// has reports whether the field is there with a value other than null.
func (o *object) has(field string) bool {
	raw, ok := o.fields[field]
	return ok && string(raw) != "null"
}

// hasNull reports whether the field is there as null.
func (o *object) hasNull(field string) bool { return string(o.fields[field]) == "null" }

func (o *object) fail(field, format string, args ...any) {
	if o.err == nil {
		o.err = sessions.Invalidf(o.prefix+field, format, args...)
	}
}

func (o *object) string(field string) (value string) {
	if o.has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.fail(field, "%s is not a string", o.excerpt(o.fields[field]))
	}
	return value
}

func (o *object) bool(field string) (value bool) {
	if o.has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.fail(field, "%s is neither true nor false", quote(o.fields[field]))
	}
	return value
}

// whole reads an integer between low and high, written in any form that JSON
// has for it (1000000, 1e6).
func (o *object) whole(field string, low, high int64) int64 {
	if !o.has(field) {
		return low
	}
	text := string(o.fields[field])
	value, err := parseWhole(text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		o.fail(field, "%s is too large (at most %d)", quote([]byte(text)), high)
	case err != nil:
		o.fail(field, "%s is not a whole number", quote([]byte(text)))
	case value < low && low == 0:
		o.fail(field, "%d is negative", value)
	case value < low:
		o.fail(field, "%d is too small (at least %d)", value, low)
	case value > high:
		o.fail(field, "%d is too large (at most %d)", value, high)
	}
	return value
}

func parseWhole(text string) (int64, error) {
	if value, err := strconv.ParseInt(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return value, err
	}
	value, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return 0, err
	case value != math.Trunc(value):
		return 0, strconv.ErrSyntax
	case math.Abs(value) > 1<<53: // beyond, a float names no single integer
		return 0, strconv.ErrRange
	}
	return int64(value), nil
}

// texts reads an array of strings.
func (o *object) texts(field string) (values []string) {
	if o.has(field) && json.Unmarshal(o.fields[field], &values) != nil {
		o.fail(field, "%s is not an array of strings", quote(o.fields[field]))
	}
	return values
}

// quote shortens what a message repeats of the input.
func quote(raw []byte) string {
	const most = 64
	text := strings.ToValidUTF8(string(raw), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	if strings.HasPrefix(text, `"`) {
		return text
	}
	return strconv.Quote(text)
}

// readBody reads a whole request body within its size limit.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, sessions.Invalidf("body", "longer than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, sessions.Invalidf("body", "it broke off: %v", err)
	}
	return body, nil
}
