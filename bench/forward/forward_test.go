// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"io"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

// costing is turns in which a packet takes that CPU time.
func costing(perPacket ...time.Duration) (turns []flow) {
	for _, cost := range perPacket {
		turns = append(turns, flow{sent: 1000, forwarded: 1000, cpu: 1000 * cost, wall: time.Second})
	}
	return turns
}

func TestRowsCompareNeighbouringTurns(t *testing.T) {
	out := report.New(io.Discard, io.Discard)
	cell{load: "64 B", direction: up, customers: 1}.report(map[string][]flow{
		// The machine is slow in the second turn, and slower still in the third.
		sender:        costing(1000, 2000, 4000),
		noEnforcement: costing(2000, 4000, 8000),
		"fair":        costing(2500, 5000, 10000),
		"nft":         costing(3000, 6000, 12000),
	}, out)
	want := map[string]float64{"fair/none": 0.8, "nft/none": 2.0 / 3, "fair/nft": 1.2}
	found := 0
	for _, row := range out.Rows() {
		if row.Metric != "forwarded" {
			continue
		}
		found++
		if value := want[row.Subject+"/"+row.Versus]; row.Value < value-1e-9 || row.Value > value+1e-9 {
			t.Errorf("%s forwards %v of %s, want %v", row.Subject, row.Value, row.Versus, value)
		}
	}
	if found != len(want) {
		t.Errorf("%d comparisons, want %d", found, len(want))
	}
}

func TestNothingForwardedIsNoMeasurement(t *testing.T) {
	if _, err := (flow{sent: 10}).checked("nft", up); err == nil {
		t.Error("a turn in which nothing passed counts")
	}
}

func TestGrowthIsToTheFewestCustomers(t *testing.T) {
	g := make(growth)
	for customers, cost := range map[int]time.Duration{1: 2000, 1000: 3000} {
		g.add(cell{load: "64 B", direction: up, customers: customers}, map[string][]flow{"fair": costing(cost)})
	}
	out := report.New(io.Discard, io.Discard)
	g.report([]int{1, 1000}, out)
	rows := out.Rows()
	if len(rows) != 1 || rows[0].Value != 1.5 || rows[0].Cell != "64 B up, 1000 customers" {
		t.Errorf("got %+v", rows)
	}
}
