// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
)

// Export writes the purchases that the agent sold as JSON lines, each a
// [PortableSession]: those that have something left, or all.
func (c *Client) Export(ctx context.Context, all bool, to io.Writer) error {
	answer, err := c.send(ctx, http.MethodGet, "/v1/export?all="+strconv.FormatBool(all), nil, jsonLines.contentType)
	if err != nil {
		return err
	}
	defer closeQuietly(answer.Body)
	if _, err := io.Copy(to, answer.Body); err != nil {
		return c.unreachable(ctx, err) // or to failed, which its error says
	}
	return nil
}

// Import stores exported purchases, all of them or none; those that the agent has stay
// as they are. It is on disk when Import returns nil. Invalid names line and field.
func (c *Client) Import(ctx context.Context, lines []byte) (Imported, error) {
	return fetch[Imported](ctx, c, http.MethodPost, importPath, rawLines(lines))
}

// rawLines is a body that is JSON lines already.
type rawLines []byte
