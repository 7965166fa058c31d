// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

// Pages shows a list as it comes, page by page, so that one of any length takes no memory: a
// table, or the API's JSON with --json. read returns a page of at most limit elements behind
// a cursor ("" for the first), and the cursor of the next one; the flag --limit bounds
// the whole list.
func Pages[T any](w io.Writer, c *cli.Context, header []string, row func(T) []string, read func(limit int, cursor string) ([]T, string, error)) error {
	const largest = 500
	left, cursor, first := c.Int("limit"), "", true
	for {
		limit := largest
		if left > 0 {
			limit = min(left, largest)
		}
		page, next, err := read(limit, cursor)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			err = jsonPage(w, page, first)
		} else {
			tablePage(w, header, row, page, first)
		}
		first, cursor, left = false, next, left-len(page)
		if err != nil || next == "" || left == 0 {
			return endPages(w, c, err)
		}
	}
}

func endPages(w io.Writer, c *cli.Context, err error) error {
	if err == nil && c.Bool("json") {
		_, err = fmt.Fprintln(w, "]")
	}
	return err
}

func tablePage[T any](w io.Writer, header []string, row func(T) []string, page []T, first bool) {
	rows := make([][]string, len(page))
	for i, element := range page {
		rows[i] = row(element)
	}
	if !first {
		header = nil
	}
	Table(w, header, rows)
}

// jsonPage writes the elements as part of one array.
func jsonPage[T any](w io.Writer, page []T, first bool) error {
	var text bytes.Buffer
	if first {
		text.WriteByte('[')
	}
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for i, element := range page {
		if !first || i > 0 {
			text.WriteByte(',')
		}
		if err := enc.Encode(element); err != nil {
			return err
		}
		text.Truncate(text.Len() - 1) // the line's end
	}
	_, err := w.Write(text.Bytes())
	return err
}
