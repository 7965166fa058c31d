// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"syscall"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// NewRequest makes a request with a JSON body, with lines of it, or with none when body
// is nil.
func NewRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var content io.Reader
	kind := TypeJSON
	if lines, raw := body.(Lines); raw {
		content, kind = bytes.NewReader(lines), TypeLines
	} else if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, sessions.Invalidf("body", "%v", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, content)
	if err != nil {
		return nil, sessions.Invalidf("path", "%v", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", kind)
	}
	return request, nil
}

// HeaderKey is the header by which a request that is repeated has one effect.
const HeaderKey = "Idempotency-Key"

// HeaderGeneration is the header with which a stream of events begins: the generation of
// the database in which the numbers were found.
const HeaderGeneration = "Event-Generation"

// Lines is a body that is JSON lines already.
type Lines []byte

// ReadBody reads a whole request body within its size limit.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	length := r.ContentLength
	if length > limit {
		length = -1 // read until MaxBytesReader says so
	}
	body, err := ReadAll(http.MaxBytesReader(w, r.Body, limit), length, limit+1)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, sessions.Invalidf("body", "longer than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, sessions.Invalidf("body", "it broke off: %v", err)
	}
	return body, nil
}

// CloseQuietly is for what was read or is given up: no data hangs on it.
func CloseQuietly(c io.Closer) { _ = c.Close() }

// NotListening reports whether an error of a call means that no process listens on the
// socket.
func NotListening(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
