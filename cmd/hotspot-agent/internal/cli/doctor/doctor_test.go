// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// The exit status is what a script of the operator goes by.
func TestExitStatus(t *testing.T) {
	ok, info, warn, fail := finding{Result: resultOK}, finding{Result: resultInfo}, finding{Result: resultWarn}, finding{Check: "disk", Result: resultFail}
	exposed := fail
	exposed.Exposed = true
	for _, c := range []struct {
		findings []finding
		want     int
	}{
		{nil, exit.Done},
		{[]finding{ok, info, warn}, exit.Done},
		{[]finding{ok, fail}, exit.Failed},
		{[]finding{exposed, fail, ok}, exit.Exposed},
	} {
		if got := exit.Report(io.Discard, verdict(c.findings)); got != c.want {
			t.Errorf("%+v: %d, want %d", c.findings, got, c.want)
		}
	}
}

func TestPrintFindings(t *testing.T) {
	var text bytes.Buffer
	printFindings(&text, []finding{
		{Check: "kernel", Result: resultOK, Detail: "6.18", Why: "w"},
		{Check: "programs br-lan", Result: resultFail, Detail: "gone\nagain", Why: "what they do not see is free", Advice: "systemctl start hotspot-agent"},
	})
	want := "ok    kernel           6.18\n" +
		"fail  programs br-lan  gone again\n" +
		"                       why: what they do not see is free\n" +
		"                       -> systemctl start hotspot-agent\n"
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
}
