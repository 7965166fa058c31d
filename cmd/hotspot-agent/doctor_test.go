// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// finding is one object of doctor --json.
type finding struct {
	Check, Result, Detail, Why, Advice string
	Exposed                            bool
}

// doctorOn is what doctor finds of the agent on a socket, beside other findings.
func doctorOn(k *kiosk, socket string) finding {
	k.Helper()
	var all []finding
	r := call(k.T, "doctor", "--json", "--socket", socket)
	if err := json.Unmarshal([]byte(r.out), &all); err != nil || len(all) < 5 {
		k.Fatalf("%+v, %v", r, err)
	}
	want := exit.Done
	for _, f := range all {
		if f.Why == "" || f.Advice == "" && (f.Result == "fail" || f.Result == "warn") || f.Exposed && f.Result != "fail" {
			k.Errorf("not what, why and what to do: %+v", f)
		}
		if f.Result == "fail" {
			want = max(want, exit.Failed)
		}
		if f.Exposed {
			want = exit.Exposed
		}
	}
	if r.status != want {
		k.Errorf("exit status %d, want %d", r.status, want)
	}
	return all[slices.IndexFunc(all, func(f finding) bool { return f.Check == "agent" })]
}

func TestDoctorAsksTheAgent(t *testing.T) {
	k := newKiosk(t)
	if f := doctorOn(k, k.socket); f.Result != "ok" || !strings.Contains(f.Detail, "version v1.2.3") {
		t.Errorf("healthy: %+v", f)
	}
	k.plane.status.Problems = []dataplane.Problem{{Code: dataplane.InterfaceAbsent, Interface: "br-lan", Detail: "interface br-lan: gone"}}
	if f := doctorOn(k, k.socket); f.Result != "fail" || f.Exposed || !strings.Contains(f.Detail, "br-lan: gone") {
		t.Errorf("ill: %+v", f)
	}
	k.plane.status.Problems[0].Exposed = true
	if f := doctorOn(k, k.socket); f.Result != "fail" || !f.Exposed {
		t.Errorf("exposed: %+v", f)
	}
	if f := doctorOn(k, k.socket+"2"); f.Result != "fail" || !strings.Contains(f.Advice, "start it") {
		t.Errorf("no agent: %+v", f)
	}
}
