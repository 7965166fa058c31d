// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// dialTimeout is for a listener whose queue is full.
const dialTimeout = 5 * time.Second

// SocketTransport sends HTTP requests to a Unix socket, whatever the host of their URL.
// Each has its own connection: one that was kept may belong to an agent that restarted,
// and a POST that fails on it cannot simply be sent again. maxHeader bounds the header of
// an answer in bytes; 0 is net/http's bound.
func SocketTransport(path string, maxHeader int64) *http.Transport {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableCompression:     true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
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
