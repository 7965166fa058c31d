// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Object is one strictly read JSON object: every key known, none twice, nothing
// after it. Its readers name field and value of what is wrong. The first error
// sticks, so that a caller reads all fields and asks err once. encoding/json
// alone would take keys in any case and twice, and does not name the value.
type Object struct {
	fields  map[string]json.RawMessage
	prefix  string // of field names, for objects inside objects
	private bool   // messages do not repeat what is in it: they are logged
	err     error
}

// ReadObject reads a body. An empty one is an empty object.
func ReadObject(body []byte, known ...string) *Object { return new(Object).read(body, known...) }

// ReadSecret reads a body whose messages repeat nothing of it: it holds secrets, and
// messages are logged.
func ReadSecret(body []byte) *Object { return (&Object{private: true}).read(body) }

// Err returns the first error of a reader, nil while all was in order.
func (o *Object) Err() error { return o.err }

func (o *Object) read(body []byte, known ...string) *Object {
	o.fields = map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) > 0 {
		o.err = o.parse(body, known)
	}
	return o
}

func (o *Object) parse(body []byte, known []string) error {
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

func (o *Object) parseField(decoder *json.Decoder, body []byte, known []string) error {
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
func (o *Object) excerpt(raw []byte) string {
	if o.private {
		return "…"
	}
	return Quote(raw)
}

// Len returns the number of fields.
func (o *Object) Len() int { return len(o.fields) }

// Has reports whether the field is there with a value other than null.
func (o *Object) Has(field string) bool {
	raw, ok := o.fields[field]
	return ok && string(raw) != "null"
}

// HasNull reports whether the field is there as null.
func (o *Object) HasNull(field string) bool { return string(o.fields[field]) == "null" }

// Fail records that a field is invalid, unless an error is recorded already: Err returns
// the first.
func (o *Object) Fail(field, format string, args ...any) {
	if o.err == nil {
		o.err = sessions.Invalidf(o.prefix+field, format, args...)
	}
}

// Keep records an error, which may be nil, unless one is recorded already.
func (o *Object) Keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

// Inner reads an object inside an object.
func (o *Object) Inner(field string) *Object {
	in := &Object{fields: map[string]json.RawMessage{}, prefix: o.prefix + field + "."}
	if !o.Has(field) {
		o.Fail(field, "missing")
		return in
	}
	in.err = in.parse(o.fields[field], nil)
	return in
}

// String reads a string; a field that is left out is empty.
func (o *Object) String(field string) (value string) {
	if o.Has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.Fail(field, "%s is not a string", o.excerpt(o.fields[field]))
	}
	return value
}

// Bool reads true or false; a field that is left out is false.
func (o *Object) Bool(field string) (value bool) {
	if o.Has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.Fail(field, "%s is neither true nor false", Quote(o.fields[field]))
	}
	return value
}

// Whole reads an integer between low and high, written in any form that JSON
// has for it (1000000, 1e6).
func (o *Object) Whole(field string, low, high int64) int64 {
	if !o.Has(field) {
		return low
	}
	text := string(o.fields[field])
	value, err := parseWhole(text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		o.Fail(field, "%s is too large (at most %d)", Quote([]byte(text)), high)
	case err != nil:
		o.Fail(field, "%s is not a whole number", Quote([]byte(text)))
	case value < low && low == 0:
		o.Fail(field, "%d is negative", value)
	case value < low:
		o.Fail(field, "%d is too small (at least %d)", value, low)
	case value > high:
		o.Fail(field, "%d is too large (at most %d)", value, high)
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

// Texts reads an array of strings.
func (o *Object) Texts(field string) (values []string) {
	if o.Has(field) && json.Unmarshal(o.fields[field], &values) != nil {
		o.Fail(field, "%s is not an array of strings", Quote(o.fields[field]))
	}
	return values
}

// Time reads a time of RFC 3339; a field that is left out is the zero time.
func (o *Object) Time(field string) (value time.Time) {
	if o.Has(field) && json.Unmarshal(o.fields[field], &value) != nil {
		o.Fail(field, "%s is not a time (want RFC 3339)", Quote(o.fields[field]))
	}
	return value
}

// Quote shortens what a message repeats of the input.
func Quote(raw []byte) string {
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
