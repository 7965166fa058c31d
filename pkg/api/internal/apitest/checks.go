// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Must unwraps what may not fail in a test.
func Must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// WantCode checks the code of an error, and words of its message.
func WantCode(t *testing.T, err error, code sessions.Code, words ...string) {
	t.Helper()
	if err == nil || sessions.CodeOf(err) != code {
		t.Errorf("error is %v (%s), want code %s", err, sessions.CodeOf(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// LogBuffer is a log that can be read while it is written.
type LogBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends.
func (l *LogBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String is what was written up to now.
func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
