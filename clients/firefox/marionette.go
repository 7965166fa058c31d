// SPDX-License-Identifier: Apache-2.0

package firefox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette is a connection to a Firefox that is driven by Marionette: JSON with its length and a
// colon before it. It belongs to one goroutine.
type marionette struct {
	conn net.Conn
	in   *bufio.Reader
	last int
}

// hello reads what the browser begins with.
func hello(conn net.Conn) (*marionette, error) {
	m := &marionette{conn: conn, in: bufio.NewReader(conn)}
	_, err := m.read()
	return m, err
}

func (m *marionette) read() ([]byte, error) {
	length, err := m.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(m.in, text)
	return text, err
}

// failure is an error of WebDriver.
type failure struct {
	Kind    string `json:"error"`
	Message string `json:"message"`
}

func (f *failure) Error() string { return f.Kind + ": " + f.Message }

// page is the name of the error page that the browser shows; "" where it shows none.
func (f *failure) page() string {
	_, rest, _ := strings.Cut(f.Message, "about:neterror?e=")
	name, _, _ := strings.Cut(rest, "&")
	return name
}

// call calls a command, and decodes the result unless into is nil. An error of the browser is a
// *failure.
func (m *marionette) call(ctx context.Context, command string, params, into any) error {
	m.last++
	text, err := json.Marshal([]any{0, m.last, command, params})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(text), text); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	text, err = m.read()
	if err != nil {
		return fmt.Errorf("%s: %w", command, errors.Join(err, ctx.Err()))
	}
	var kind, id int
	var failed *failure
	var result json.RawMessage
	if err := json.Unmarshal(text, &[]any{&kind, &id, &failed, &result}); err != nil {
		return fmt.Errorf("%s: %w in %q", command, err, text)
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", command, failed)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(result, into)
}
