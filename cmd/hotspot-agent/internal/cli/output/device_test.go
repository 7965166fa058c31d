// SPDX-License-Identifier: Apache-2.0

package output

import (
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// A trusted device has no session, but its traffic is counted.
func TestStatusOfTrusted(t *testing.T) {
	var out strings.Builder
	DeviceStatus(&out, api.DeviceStatus{
		Device: api.Device{ID: 3, MAC: "02:00:5e:10:00:03"}, Connected: true,
		Traffic: api.Traffic{DownBytes: 2_000_000, UpBytes: 1_000_000},
	})
	if got := out.String(); !strings.Contains(got, "2 MB down, 1 MB up") {
		t.Errorf("no traffic:\n%s", got)
	}
	out.Reset()
	DeviceStatus(&out, api.DeviceStatus{Device: api.Device{ID: 3, MAC: "02:00:5e:10:00:03"}})
	if got := out.String(); strings.Contains(got, "passed") {
		t.Errorf("traffic of one that is not connected:\n%s", got)
	}
}
