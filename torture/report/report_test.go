// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestBroken(t *testing.T) {
	good := Row{
		Fault: "kill", Runs: 3, Purchases: Zero(0), Bytes: AtMost(10, 10),
		Recovery: time.Second, Most: time.Second,
	}
	if broken := good.Broken(); len(broken) > 0 {
		t.Errorf("all is kept, and broken is %q", broken)
	}
	for name, spoil := range map[string]func(*Row){
		"no run":                      func(r *Row) { r.Runs = 0 },
		"purchases lost":              func(r *Row) { r.Purchases = Zero(1) },
		"bytes lost or charged twice": func(r *Row) { r.Bytes = AtMost(11, 10) },
		"packets lost":                func(r *Row) { r.Packets = Zero(1) },
		"unpaid packets":              func(r *Row) { r.Unpaid = Zero(1) },
		"recovery":                    func(r *Row) { r.Recovery = 2 * time.Second },
		"a leak":                      func(r *Row) { r.Failures = []string{"a leak"} },
	} {
		bad := good
		spoil(&bad)
		if broken := strings.Join(bad.Broken(), "\n"); !strings.Contains(broken, name) {
			t.Errorf("%s: broken is %q", name, broken)
		}
		var table bytes.Buffer
		if err := WriteTable(&table, []Row{bad}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(table.String(), "broken: kill: "+name) {
			t.Errorf("%s: the table does not say so:\n%s", name, table.String())
		}
	}
}
