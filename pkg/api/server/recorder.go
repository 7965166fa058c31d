// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"time"
)

// recorder remembers the status for the log, and gives the client the same time
// for every write.
type recorder struct {
	http.ResponseWriter
	timeout time.Duration
	status  int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// A writer without deadlines, as tests have, needs none.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.timeout))
	return w.ResponseWriter.Write(b)
}

// send flushes the answer: the client does not wait for the log.
func (w *recorder) send() {
	if w.status != 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // the client may be gone
	}
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
