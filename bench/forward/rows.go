// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"fmt"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

// cell is the conditions of a comparison.
type cell struct {
	load      string
	direction direction
	customers int
}

func (c cell) String() string { return fmt.Sprintf("%s, %s", c.traffic(), counted(c.customers)) }

// traffic is the conditions that have nothing to do with customers.
func (c cell) traffic() string { return c.load + " " + string(c.direction) }

func counted(customers int) string {
	if customers == 1 {
		return "1 customer"
	}
	return fmt.Sprintf("%d customers", customers)
}

// ours are the subjects that are the agent, the one that is the default first.
var ours = []string{"fair", "bucket"}

// report adds what a packet costs each subject, and how much of the traffic of the
// router without enforcement it forwards.
func (c cell) report(turns map[string][]flow, out *report.Report) {
	for _, subject := range inOrder(turns) {
		add := c.adder(subject, out)
		add(report.Row{Metric: "CPU of a packet", Value: median(each(turns[subject], flow.perPacket)), Unit: "ns"})
		add(report.Row{Metric: "packets", Value: median(each(turns[subject], flow.perSecond)) / 1000, Unit: "k/s"})
		if subject == noEnforcement || subject == sender {
			continue
		}
		forwarded := report.Row{Metric: "forwarded", Value: median(ratios(turns[subject], turns[noEnforcement])), Versus: noEnforcement}
		if isOurs(subject) {
			forwarded.Goal, forwarded.Bound = report.AtLeast(goal), report.AtLeast(bound)
		}
		add(forwarded)
		add(report.Row{Metric: "CPU added to a packet", Value: median(added(turns[subject], turns[noEnforcement])), Unit: "ns"})
		if len(turns[sender]) > 0 {
			own := median(added(turns[noEnforcement], turns[sender])) / median(added(turns[subject], turns[sender]))
			add(report.Row{Metric: "forwarded, without the sender's CPU", Value: own, Versus: noEnforcement})
		}
	}
	for _, mine := range ours {
		c.reportRivals(mine, turns, out)
	}
}

// reportRivals compares one of ours to the rivals.
func (c cell) reportRivals(mine string, turns map[string][]flow, out *report.Report) {
	for _, rival := range inOrder(turns) {
		if rival == sender || rival == noEnforcement || isOurs(rival) || len(turns[mine]) == 0 {
			continue
		}
		row := report.Row{Metric: "forwarded", Value: median(ratios(turns[mine], turns[rival])), Versus: rival}
		if rival == nftSubject.name {
			row.Bound = report.AtLeast(boundRivals)
		}
		c.adder(mine, out)(row)
	}
}

func (c cell) adder(subject string, out *report.Report) func(report.Row) {
	return func(row report.Row) {
		row.Study, row.Cell, row.Subject = study, c.String(), subject
		out.Add(row)
	}
}

// ratios is what one forwards for each packet of the other, at the same CPU time,
// in neighbouring turns.
func ratios(of, to []flow) (all []float64) {
	for i := range of {
		all = append(all, to[i].perPacket()/of[i].perPacket())
	}
	return all
}

// added is the CPU time that one takes for a packet more than the other.
func added(of, to []flow) (all []float64) {
	for i := range of {
		all = append(all, of[i].perPacket()-to[i].perPacket())
	}
	return all
}

func each(turns []flow, what func(flow) float64) []float64 {
	var values []float64
	for _, f := range turns {
		values = append(values, what(f))
	}
	return values
}

func isOurs(subject string) bool { return slices.Contains(ours, subject) }

// inOrder is the subjects in the order of the plan, those that took turns.
func inOrder(turns map[string][]flow) (names []string) {
	for _, name := range []string{sender, noEnforcement, hookSubject.name, lookupSubject.name, "fair", "bucket", nftSubject.name, "nft set", "flare", "opennds"} {
		if len(turns[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// growth is what a packet costs, by traffic, subject and customers.
type growth map[string]map[string]map[int]float64

func (g growth) add(c cell, turns map[string][]flow) {
	if g[c.traffic()] == nil {
		g[c.traffic()] = make(map[string]map[int]float64)
	}
	for subject, flows := range turns {
		if g[c.traffic()][subject] == nil {
			g[c.traffic()][subject] = make(map[int]float64)
		}
		g[c.traffic()][subject][c.customers] = median(each(flows, flow.perPacket))
	}
}

// report compares the CPU of a packet with most customers to that with fewest.
func (g growth) report(customers []int, out *report.Report) {
	for traffic, subjects := range g {
		for subject, cost := range subjects {
			for _, n := range customers[1:] {
				if cost[n] > 0 && cost[customers[0]] > 0 {
					out.Add(report.Row{Study: study, Cell: traffic + ", " + counted(n), Subject: subject,
						Metric: "growth of CPU", Value: cost[n] / cost[customers[0]], Versus: counted(customers[0])})
				}
			}
		}
	}
}
