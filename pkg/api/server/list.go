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

// listing is an answer of a JSON array, written page by page: a client that stops reading in
// the middle costs a page, not the whole list as often as it asks for it.
type listing struct {
	w      http.ResponseWriter
	text   bytes.Buffer // of the page
	opened bool
	gone   bool // the client: what is added goes nowhere
}

// add takes the elements of a page.
func (l *listing) add(count int, element func(int) any) error {
	l.text.Reset()
	encoder := json.NewEncoder(&l.text)
	encoder.SetEscapeHTML(false)
	for i := range count {
		if i > 0 || l.opened {
			l.text.WriteByte(',')
		} else {
			l.text.WriteByte('[')
		}
		if err := encoder.Encode(element(i)); err != nil {
			return err
		}
		l.text.Truncate(l.text.Len() - 1) // the line's end
	}
	if count > 0 {
		l.write(l.text.Bytes())
	}
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
