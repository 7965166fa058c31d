// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Tokens and what stands in a query are in no log, however much is logged and whatever
// goes wrong.
func TestNoSecretsInTheLog(t *testing.T) {
	const secret = "s3cr3t-t0ken"
	var log apitest.LogBuffer
	a := startAgent(t, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, query := range []string{"?ip=" + secret, "?" + secret + "=1", "?ip=%zz" + secret} {
		a.ask("GET", "/v1/resolve"+query, "", nil)
	}
	a.ask("GET", "/v1/devices", "", http.Header{"Authorization": {secret}, "Cookie": {secret}})
	a.ask("POST", "/v1/devices", `{"mac":"`+secret+`"`, nil)
	for i, answer := range []string{
		`{"found":true,"token":"` + secret + `","data":{"type":"time","time_secs":-1}}`,
		`{"found":true,"token":"` + secret + `","data":{"type":"time"}`,
		`"` + secret + `"`,
		`{"token":` + secret + `}`,
		`{"found":true,"token":["` + secret + `"]}`,
		`{"token":"","token":"` + secret + `"}`,
		`{} "` + secret + `"`,
	} {
		name := fmt.Sprintf("shop%d", i)
		if err := a.RegisterProvider(t.Context(), sessions.ProviderRecord{Name: name, Socket: serveProvider(t, text(answer))}); err != nil {
			t.Fatal(err)
		}
		a.ask("POST", "/v1/devices", `{"mac":"`+firstMAC+`"}`, nil)
		a.ask("GET", "/v1/devices/"+url.PathEscape(firstMAC)+"/available-session", "", nil)
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log does not name %s, which answers nonsense", name)
		}
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, secret) {
			t.Errorf("in the log: %s", line)
		}
	}
}
