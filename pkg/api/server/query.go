// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/url"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxLimit bounds a page that a client asks for: it is held in memory.
const maxLimit = 1000

// listArgs are the parameters that all lists have.
var listArgs = []string{"limit", "cursor", "sort", "q", "since"}

// listQuery is which part of a list is asked for.
type listQuery struct {
	limit  int   // 0: all
	after  int64 // what comes behind this id; 0: from the start
	newest bool
	match  string // "": all
	since  time.Time
}

func listQueryFrom(args url.Values) (q listQuery, err error) {
	if text := args.Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 || q.limit > maxLimit {
			return q, sessions.Invalidf("limit", "%q is not a number from 1 to %d", text, maxLimit)
		}
	}
	if text := args.Get("cursor"); text != "" {
		if q.after, err = strconv.ParseInt(text, 10, 64); err != nil || q.after < 1 {
			return q, sessions.Invalidf("cursor", "%q is no cursor of an answer (%s)", text, wire.NextCursor)
		}
	}
	switch text := args.Get("sort"); text {
	case "", "id":
	case "-id":
		q.newest = true
	default:
		return q, sessions.Invalidf("sort", "%q is not an order (want id, or -id for the newest first)", text)
	}
	q.match = args.Get("q")
	if mac, notMAC := dataplane.ParseMAC(q.match); notMAC == nil {
		q.match = mac.String() // as it is stored
	}
	if text := args.Get("since"); text != "" {
		if q.since, err = time.Parse(time.RFC3339, text); err != nil || q.since.Year() < 1970 || q.since.Year() > 2200 {
			return q, sessions.Invalidf("since", "%q is not a time as in 2026-03-01T08:00:00Z", text)
		}
	}
	return q, nil
}

// list answers with the elements that read returns, page by page: without a limit with all
// of them, else with a page, and with the cursor of the next one if there is one.
func list[T, W any](h backend, c *call, q listQuery, read func(after int64, limit int) ([]T, error), id func(T) int64, on func(T) W) (*reply, error) {
	out := listing{w: c.w}
	for {
		size := listPage
		if q.limit > 0 {
			size = q.limit + 1
		}
		page, err := read(q.after, size)
		more := len(page) == size
		if err == nil && more && q.limit > 0 {
			page = page[:q.limit]
			c.w.Header().Set(wire.NextCursor, strconv.FormatInt(id(page[len(page)-1]), 10))
		}
		if err == nil {
			err = out.add(len(page), func(i int) any { return on(page[i]) })
		}
		if err != nil {
			return nil, h.abort(out.opened, err)
		}
		if !more || q.limit > 0 || out.gone {
			return out.end()
		}
		q.after = id(page[len(page)-1])
	}
}
