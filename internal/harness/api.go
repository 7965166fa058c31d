// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// API is a client of a daemon's socket with persistent connections, for load that a
// process per call could not make. It is safe for concurrent use.
type API struct {
	client http.Client
}

// API makes a client of the daemon's socket.
func (a *Agent) API() *API {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.Socket())
	}
	const connections = 64
	return &API{http.Client{
		Timeout:   callTimeout,
		Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: connections},
	}}
}

// Call sends a request with a body as JSON and decodes the answer into the other
// value; either may be nil.
func (c *API) Call(ctx context.Context, method, path string, body, into any) error {
	return c.CallOnce(ctx, "", method, path, body, into)
}

// CallOnce is Call with an Idempotency-Key, none where it is empty.
func (c *API) CallOnce(ctx context.Context, key, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent/v1"+path, sent)
	if err != nil {
		return err
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusBadRequest {
		err = &ProblemError{response.StatusCode, string(bytes.TrimSpace(answer))}
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// ProblemError is a call answered with a problem document (RFC 9457).
type ProblemError struct {
	Status  int    // of HTTP
	Problem string // the document
}

func (r *ProblemError) Error() string { return r.Problem }

// Lines reads a stream line by line until the agent or ctx ends it, or handle returns
// false. Its error is the reason and never nil.
func (c *API) Lines(ctx context.Context, path string, handle func([]byte) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/v1"+path, nil)
	if err != nil {
		return err
	}
	streaming := http.Client{Transport: c.client.Transport}
	response, err := streaming.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		if !handle(line) {
			return io.EOF
		}
	}
}

// Close closes the connections.
func (c *API) Close() { c.client.CloseIdleConnections() }
