// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// An export is taken by another agent, which then exports the same.
func TestExportIsImported(t *testing.T) {
	from, to := startAgent(t, Options{}), startAgent(t, Options{})
	apitest.Must(from.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC, Hostname: `the "phone"`}))(t)
	from.sell(firstMAC)
	from.sell(firstMAC)
	var lines, again bytes.Buffer
	if err := from.client.Export(t.Context(), true, &lines); err != nil {
		t.Fatal(err)
	}
	for _, want := range []api.Imported{{Imported: 2}, {Known: 2}} {
		if done := apitest.Must(to.client.Import(t.Context(), lines.Bytes()))(t); done != want {
			t.Errorf("import: %+v, want %+v", done, want)
		}
	}
	if err := to.client.Export(t.Context(), false, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines.String(), again.String()); diff != "" || strings.Count(lines.String(), "\n") != 2 {
		t.Errorf("exported there (-) and here (+):\n%s", diff)
	}
}

// A line that is refused is named with its field and its value, and nothing is stored.
func TestImportNamesTheLine(t *testing.T) {
	a := startAgent(t, Options{})
	const good = `{"created_at":"2026-01-01T00:00:00.000000001Z","mac":"02:00:00:00:00:01","type":"time","state":"available","time_secs":60}`
	for bad, want := range map[string]string{
		strings.Replace(good, "time_secs", "seconds", 1): `line 3: seconds: unknown field, with value "60"`,
		strings.Replace(good, "02:", "zz:", 1):           `line 3: mac: `,
		strings.Replace(good, "60", "-60", 1):            `line 3: time_secs: -60 is negative`,
		strings.Replace(good, "60", "0", 1):              `line 3: time_secs: 0 is no allowance`,
		strings.Replace(good, "available", "gone", 1):    `line 3: state: "gone" is not a state`,
		strings.Replace(good, "2026-01-01", "today", 1):  `line 3: created_at: `,
		good[:len(good)-1] + `,"claim_hash":"7K3M"}`:     `line 3: claim_hash: "7K3M" is not a SHA-256`,
		good[:40]: `line 3: `,
		`{}`:      `line 3: created_at: missing`,
	} {
		_, err := a.client.Import(t.Context(), []byte(good+"\n\n"+bad+"\n"))
		apitest.WantCode(t, err, sessions.Invalid, want)
	}
	if left := apitest.Must(a.client.Sessions(t.Context(), api.SessionQuery{}))(t); len(left) != 0 {
		t.Errorf("%d sessions were stored", len(left))
	}
}

// A code of 60 bits can be found with its hash, and takes the purchase away: a caller that
// may only read gets the hash of none.
func TestExportOfViewerHasNoCodes(t *testing.T) {
	a := startAgent(t, Options{})
	a.sell(firstMAC)
	for role, want := range map[role]int{viewer: 0, operator: 1, root: 1} {
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/export", nil)
		h := transferHandlers{backend{rules: a.Manager}}
		if _, err := h.export(&call{Request: request, w: answer, caller: caller{role: role}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(answer.Body.String(), `"claim_hash":"`); got != want {
			t.Errorf("a %s gets %d hashes, want %d: %s", role, got, want, answer.Body)
		}
	}
}
