// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const api = "https://portal.example/captive"

// Each program's configuration as its manual has it. The programs' own checkers are asked in
// internal/acceptance.
func TestConfiguration(t *testing.T) {
	comment := regexp.MustCompile(`(?m)^(#|//).*\n`)
	for program, want := range map[string][]string{
		"dnsmasq": {"dhcp-option=tag:br-lan,114," + api + "\ndhcp-option=tag:br-lan,option6:103," + api + "\n" +
			"dhcp-option=tag:eth1,114," + api + "\ndhcp-option=tag:eth1,option6:103," + api + "\n"},
		"odhcpd": {"config dhcp 'lan'\n\toption captive_portal_uri '" + api + "'\n\tlist dhcp_option '114," + api + "'\n"},
		"radvd": {"interface br-lan {\n    AdvSendAdvert on;\n    AdvCaptivePortalAPI \"" + api + "\";\n};\n" +
			"interface eth1 {\n    AdvSendAdvert on;\n    AdvCaptivePortalAPI \"" + api + "\";\n};\n"},
		"kea": {"{ \"Dhcp4\": {\n  \"option-data\": [ { \"name\": \"v4-captive-portal\", \"data\": \"" + api + "\" } ]\n} }\n",
			"{ \"Dhcp6\": {\n  \"option-data\": [ { \"name\": \"v6-captive-portal\", \"data\": \"" + api + "\" } ]\n} }\n"},
	} {
		var got []string
		for _, text := range Configuration(program, api, []string{"br-lan", "eth1"}) {
			got = append(got, comment.ReplaceAllString(text.Text, ""))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", program, diff)
		}
		if program == "kea" {
			for _, text := range got {
				if !json.Valid([]byte(text)) {
					t.Errorf("no JSON: %s", text)
				}
			}
		}
	}
	if got := Configuration("isc", api, nil); got != nil {
		t.Errorf("an unknown program: %v", got)
	}
}
