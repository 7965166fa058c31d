// SPDX-License-Identifier: Apache-2.0

package debian

import "sync"

// log keeps the end of what is written to it.
type log struct {
	mu  sync.Mutex
	end []byte
}

const logBytes = 4000

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p...)
	l.end = l.end[max(0, len(l.end)-logBytes):]
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.end)
}
