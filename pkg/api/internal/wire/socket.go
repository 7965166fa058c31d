// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// defaultMaxHeader bounds the header of an answer.
const defaultMaxHeader = 1 << 20

// Socket sends HTTP requests to a Unix socket, whatever the host of their URL. Each has
// its own connection: one that was kept may belong to an agent that restarted, and a POST
// that fails on it cannot simply be sent again. Without connections to keep there are no
// goroutines either, which makes a call cost a fraction of http.Transport's. A request is
// written whole before its answer is read: a server that echoes a long body while it reads
// would block. Safe for concurrent use.
type Socket struct {
	Path      string
	MaxHeader int64 // bytes of the header of an answer; 0 for 1 MiB
}

// RoundTrip sends a request and reads the header of its answer. The request's context
// ends both, and the reading of the body, which the caller closes.
func (s *Socket) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	c, err := new(net.Dialer).DialContext(ctx, "unix", s.Path)
	if err != nil {
		return nil, errors.Join(err, closeBody(r))
	}
	e := &exchange{conn: c}
	e.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	answer, err := e.do(r, s.MaxHeader)
	if err != nil {
		_ = e.Close() // the first error counts
		return nil, err
	}
	e.body, answer.Body = answer.Body, e
	return answer, nil
}

// exchange is one request and its answer; as the body of the answer it closes the
// connection.
type exchange struct {
	conn net.Conn
	stop func() bool
	body io.ReadCloser
}

func (e *exchange) Read(b []byte) (int, error) { return e.body.Read(b) }

func (e *exchange) Close() error {
	e.stop()
	return e.conn.Close()
}

// do reads an answer also when the request could not be written whole: a server that
// refuses a long one does not wait for its end.
func (e *exchange) do(r *http.Request, maxHeader int64) (*http.Response, error) {
	written := writeRequest(e.conn, r)
	if maxHeader == 0 {
		maxHeader = defaultMaxHeader
	}
	limited := &io.LimitedReader{R: e.conn, N: maxHeader}
	answer, err := readAnswer(bufio.NewReader(limited), r)
	switch {
	case err == nil:
		limited.N = math.MaxInt64
		return answer, nil
	case written != nil:
		return nil, written
	case limited.N <= 0:
		return nil, errors.New("the header of the answer is too long")
	}
	return nil, err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriter(nil) }}

func writeRequest(to io.Writer, r *http.Request) error {
	out := *r
	out.Close = true
	w := writers.Get().(*bufio.Writer)
	w.Reset(to)
	defer func() {
		w.Reset(nil)
		writers.Put(w)
	}()
	if err := out.Write(w); err != nil {
		return err
	}
	return w.Flush()
}

// readAnswer passes over 1xx answers.
func readAnswer(from *bufio.Reader, r *http.Request) (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(from, r)
		if err != nil || answer.StatusCode >= 200 {
			return answer, err
		}
	}
}

func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

// ReadAll reads to the end of what has a length that may be known, or -1, at most limit
// bytes.
func ReadAll(from io.Reader, length, limit int64) ([]byte, error) {
	if length < 0 || length > limit {
		return io.ReadAll(io.LimitReader(from, limit))
	}
	all := make([]byte, length)
	n, err := io.ReadFull(from, all)
	return all[:n], err
}
