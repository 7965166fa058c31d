// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// A fake browser answers calls after an event, refuses one, and ends in the middle of another.
func TestPipe(t *testing.T) {
	fromUs, toBrowser := io.Pipe()
	fromBrowser, toUs := io.Pipe()
	go func() {
		in := bufio.NewReader(fromUs)
		for _, answer := range []string{
			`{"method": "Target.targetCreated", "params": {"targetInfo": {"targetId": "A", "type": "page", "url": "http://portal/"}}}` + "\x00" +
				`{"id": 1, "result": {"product": "Chrome/156"}}` + "\x00",
			`{"id": 2, "error": {"message": "no such tab"}}` + "\x00",
			`{"id": 3, "res`,
		} {
			call, err := in.ReadString(0)
			if err != nil || !json.Valid([]byte(strings.TrimSuffix(call, "\x00"))) {
				t.Errorf("the browser read %q, %v", call, err)
			}
			_, _ = io.WriteString(toUs, answer)
		}
		_ = toUs.Close()
	}()
	p := newPipe(fromBrowser, toBrowser)
	var version struct{ Product string }
	if err := p.call(t.Context(), "", "Browser.getVersion", nil, &version); err != nil || version.Product != "Chrome/156" {
		t.Errorf("%+v, %v", version, err)
	}
	if seen := <-p.targets; seen.ID != "A" || seen.URL != "http://portal/" {
		t.Errorf("the tab is %+v", seen)
	}
	if err := p.call(t.Context(), "X", "Page.navigate", nil, nil); err == nil || !strings.Contains(err.Error(), "no such tab") {
		t.Errorf("a call that is refused: %v", err)
	}
	for range 2 { // while the browser ends, and after
		if err := p.call(t.Context(), "", "Browser.getVersion", nil, nil); err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("a call of a browser that has ended: %v", err)
		}
	}
}
