// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

const (
	usualPage = 500
	maxPage   = 1000 // of the agent
)

// pageArgs are the parameters that all lists have.
func pageArgs(match string, since time.Time, newest bool, limit int, cursor string) url.Values {
	if limit == 0 {
		limit = usualPage
	}
	args := url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		args.Set("cursor", cursor)
	}
	if match != "" {
		args.Set("q", match)
	}
	if !since.IsZero() {
		args.Set("since", since.Format(time.RFC3339))
	}
	if newest {
		args.Set("sort", "-id")
	}
	return args
}

// fetchPage reads one page of a list, and the cursor of the next one.
func fetchPage[T any](ctx context.Context, t *transport, path string, args url.Values) (page []T, next string, err error) {
	page, header, err := fetchHeader[[]T](ctx, t, http.MethodGet, path+"?"+args.Encode(), nil)
	return page, header.Get(wire.NextCursor), err
}

// all reads page after page.
func all[T any](read func(cursor string) ([]T, string, error)) ([]T, error) {
	list := []T{}
	for cursor := ""; ; {
		page, next, err := read(cursor)
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if next == "" {
			return list, nil
		}
		cursor = next
	}
}
