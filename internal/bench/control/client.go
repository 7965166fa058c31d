// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// client speaks to the daemon's socket as a portal does: HTTP on connections that
// stay open.
type client struct{ http http.Client }

func newClient(socket string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &client{http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// call sends body as JSON and decodes the answer into into, unless that is nil.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, sent)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

func (c *client) connect(ctx context.Context, device string) error {
	return c.call(ctx, http.MethodPost, "/v1/devices/"+device+"/connect", struct{}{}, nil)
}

func (c *client) disconnect(ctx context.Context, device string) error {
	return c.call(ctx, http.MethodPost, "/v1/devices/"+device+"/disconnect", struct{}{}, nil)
}

// purchase is a session as it is bought on the socket.
type purchase struct {
	Device    string `json:"device"`
	Type      string `json:"type"`
	TimeSecs  int    `json:"time_secs,omitempty"`
	DataBytes uint64 `json:"data_bytes,omitempty"`
	DownBPS   uint64 `json:"down_bps"`
	UpBPS     uint64 `json:"up_bps"`
}

// plenty is what nobody uses up while it is measured.
func plenty(device string) purchase {
	return purchase{Device: device, Type: "time_or_data", TimeSecs: 1_000_000, DataBytes: 1e12, DownBPS: 5e6, UpBPS: 3e6}
}

func (c *client) buy(ctx context.Context, p purchase) error {
	return c.call(ctx, http.MethodPost, "/v1/sessions", p, nil)
}

// mac names the n-th customer of a crowd.
func mac(n int) string {
	return fmt.Sprintf("02:cc:%02x:%02x:%02x:%02x", n>>24&0xff, n>>16&0xff, n>>8&0xff, n&0xff)
}

// each calls do for every customer from to to, by several callers at once, until one
// fails.
func each(ctx context.Context, from, to, callers int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(from))
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for n := int(next.Add(1)) - 1; n < to && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				if err := do(ctx, n); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}
