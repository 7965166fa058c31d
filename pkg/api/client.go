// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// DefaultSocket is where the agent listens unless configured otherwise.
const DefaultSocket = "/run/hotspot-agent/agent.sock"

// maxAnswer bounds what the client reads of one answer; lists of a large site fit.
const maxAnswer = 64 << 20

// Client calls the agent, one method per endpoint. Errors are *sessions.Error with
// the server's code; one that nobody answers is Unavailable. A device is named by
// its id, MAC or IP. Safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of the agent at a Unix socket; "" is [DefaultSocket].
// It connects with the first call.
func NewClient(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	return &Client{socket: socket, http: unixClient(socket)}
}

// unixClient speaks HTTP to a socket, whatever the host of the URL. Each request has
// its own connection, which costs little here: one that was kept may belong to an
// agent that restarted, and a POST that fails on it cannot simply be sent again.
func unixClient(socket string) *http.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			DisableCompression: true,
			DisableKeepAlives:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Do sends a request with a JSON body, or none when body is nil, and returns the
// answer's JSON as it came.
func (c *Client) Do(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	answer, err := c.send(ctx, method, path, body, "")
	if err != nil {
		return nil, err
	}
	defer closeQuietly(answer.Body)
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return bytes.TrimSpace(raw), nil
}

// send returns the open answer of a request that succeeded.
func (c *Client) send(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	request, err := newRequest(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer closeQuietly(answer.Body)
	return nil, problemIn(answer).asError()
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var content io.Reader
	kind := typeJSON
	if lines, raw := body.(rawLines); raw {
		content, kind = bytes.NewReader(lines), jsonLines.contentType
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

// problemIn reads a problem document, or makes the best of an answer without one.
func problemIn(answer *http.Response) Problem {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var problem Problem
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), typeProblem) || json.Unmarshal(raw, &problem) != nil {
		problem = Problem{Status: answer.StatusCode, Detail: fmt.Sprintf("HTTP status %s: %s", answer.Status, quote(raw))}
	}
	return problem
}

// unreachable says why nobody answered, and what to try.
func (c *Client) unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return sessions.Errorf(sessions.Forbidden, "not permitted to use the socket %s; call as root, or as a member of the agent's socket_group", c.socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return sessions.Errorf(sessions.Unavailable, "no agent answers on %s; start it with: hotspot-agent run", c.socket)
	}
	return sessions.Errorf(sessions.Unavailable, "the agent on %s did not answer: %w", c.socket, unwrapURL(err))
}

// closeQuietly is for what was read or is given up: no data hangs on it.
func closeQuietly(c io.Closer) { _ = c.Close() }

// unwrapURL drops the method and made-up URL that net/http puts before an error.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// fetch does a request and reads its answer into a T.
func fetch[T any](ctx context.Context, c *Client, method, path string, body any) (answer T, err error) {
	raw, err := c.Do(ctx, method, path, body)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return answer, sessions.Errorf(sessions.Internal, "the agent's answer to %s %s is not what was expected: %v", method, path, err)
	}
	return answer, nil
}

func devicePath(ref, more string) string { return "/v1/devices/" + url.PathEscape(ref) + more }

func sessionPath(id int64) string { return "/v1/sessions/" + strconv.FormatInt(id, 10) }
