// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/captive"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
)

// captiveReasons say why the steps of a phone's way matter, by their names without the host.
var captiveReasons = map[string]string{
	"captive DNS":         "phones find out by these names that there is a portal",
	"captive redirect":    "phones that have not paid are led there",
	"captive API":         "phones that got its URL by DHCP ask it in place of the probes",
	"captive garden":      "devices open it before they pay",
	"captive certificate": "phones take no page and no API without a valid one",
}

func reasonOfCaptive(check string) string {
	for name, why := range captiveReasons {
		if check == name || strings.HasPrefix(check, name+" ") {
			return why
		}
	}
	return ""
}

// patience is how long a person waits without a sign of progress.
const patience = 2 * time.Second

// diagnoseCaptive goes a phone's way to the portal.
func diagnoseCaptive(e command.Env, c *cli.Context, cfg config.Config) (findings []finding) {
	if !c.Bool("json") {
		slow := time.AfterFunc(patience, func() { fmt.Fprintln(e.Stderr, "doctor waits for the portal, its DNS and its API") })
		defer slow.Stop()
	}
	for _, f := range captive.PathOf(cfg).Check(c.Context) {
		findings = append(findings, finding{Check: f.Check, Result: string(f.Level), Detail: f.Detail, Advice: f.Advice})
	}
	return findings
}
