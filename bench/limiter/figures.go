// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"slices"
	"time"
)

// jain is Jain's index of fairness: 1 where all have the same, 1/n where one has all.
func jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / squares / float64(len(shares))
}

// median of numbers; 0 of none.
func median[T ~int64 | ~float64](all []T) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// middle is the median of each figure.
func middle(all []result) (m result) {
	of := func(figure func(result) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, figure(r))
		}
		return median(values)
	}
	m.runs = len(all)
	m.goodput = of(func(r result) float64 { return r.goodput })
	m.start = of(func(r result) float64 { return r.start })
	m.jain = of(func(r result) float64 { return r.jain })
	m.retransmitted = of(func(r result) float64 { return r.retransmitted })
	m.echoLost = of(func(r result) float64 { return r.echoLost })
	m.echoAdded = time.Duration(of(func(r result) float64 { return float64(r.echoAdded) }))
	m.line.Late = time.Duration(of(func(r result) float64 { return float64(r.line.Late) }))
	return m
}

func mean(all []float64) float64 {
	var sum float64
	for _, v := range all {
		sum += v
	}
	return sum / float64(len(all))
}
