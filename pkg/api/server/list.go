// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// listPage is how many sessions are read at a time.
const listPage = 500

// listing is an answer of a JSON array, written element by element: a client that stops
// reading in the middle costs a page, not the whole list as often as it asks for it.
type listing struct {
	w      http.ResponseWriter
	opened bool
	gone   bool // the client: what is added goes nowhere
}

func (l *listing) add(element any) error {
	var text bytes.Buffer
	text.WriteByte(',')
	if !l.opened {
		text.Reset()
		text.WriteByte('[')
	}
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(element); err != nil {
		return err
	}
	l.write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	return nil
}

// end completes the answer: nothing is left to reply.
func (l *listing) end() (*reply, error) {
	if !l.opened {
		l.write([]byte("["))
	}
	l.write([]byte("]\n"))
	return nil, nil
}

func (l *listing) write(text []byte) {
	if !l.opened {
		l.opened = true
		l.w.Header().Set("Content-Type", wire.TypeJSON)
		l.w.Header().Set("Cache-Control", "no-store")
		l.w.WriteHeader(http.StatusOK)
	}
	if !l.gone {
		_, err := l.w.Write(text)
		l.gone = err != nil
	}
}
