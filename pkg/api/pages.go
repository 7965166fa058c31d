// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
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
	path += "?" + args.Encode()
	answer, err := t.send(ctx, http.MethodGet, path, nil, "") //nolint:bodyclose // CloseQuietly closes it
	if err != nil {
		return nil, "", err
	}
	defer wire.CloseQuietly(answer.Body)
	raw, err := wire.ReadAll(answer.Body, answer.ContentLength, maxAnswer)
	if err != nil {
		return nil, "", t.unreachable(ctx, err)
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, "", sessions.Errorf(sessions.Internal, "the agent's answer to GET %s is not what was expected: %v", path, err)
	}
	return page, answer.Header.Get(wire.NextCursor), nil
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
