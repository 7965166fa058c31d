// SPDX-License-Identifier: Apache-2.0

package firefox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// A fake browser greets, answers, refuses, and is silent.
func TestMarionette(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	send := func(text string) { _, _ = fmt.Fprintf(theirs, "%d:%s", len(text), text) }
	go func() {
		send(`{"applicationType": "gecko", "marionetteProtocol": 3}`)
		calls := marionette{conn: theirs, in: bufio.NewReader(theirs)}
		for _, answer := range []string{
			`[1, 1, null, {"value": "Portal"}]`,
			`[1, 2, {"error": "unknown error", "message": "Reached error page: about:neterror?e=connectionFailure&u=x"}, null]`,
			"",
		} {
			if _, err := calls.read(); err != nil {
				t.Error(err)
			}
			if answer != "" {
				send(answer)
			}
		}
	}()
	m, err := hello(ours)
	if err != nil {
		t.Fatal(err)
	}
	var title struct{ Value string }
	if err := m.call(t.Context(), "WebDriver:GetTitle", nil, &title); err != nil || title.Value != "Portal" {
		t.Errorf("%+v, %v", title, err)
	}
	var refused *failure
	if err := m.call(t.Context(), "WebDriver:Navigate", nil, nil); !errors.As(err, &refused) || refused.page() != "connectionFailure" {
		t.Errorf("a page that fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.call(ctx, "WebDriver:GetTitle", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a browser that is silent: %v", err)
	}
}
