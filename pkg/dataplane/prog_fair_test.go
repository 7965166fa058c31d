// SPDX-License-Identifier: Apache-2.0

package dataplane

import "testing"

// withFair loads testbeds with the fair limiter until the test ends.
func withFair(t testing.TB) {
	testbedLimiter = Fair
	t.Cleanup(func() { testbedLimiter = Bucket })
}

// TestUnderFair: whatever does not depend on the limiter holds with either.
func TestUnderFair(t *testing.T) {
	withFair(t)
	for name, test := range map[string]func(*testing.T){
		"VerifierTime": TestVerifierTime,
		"Counters": TestCounters,
		"LimitOnManyCPUs": TestLimitOnManyCPUs,
		"RateOnManyCPUs": TestRateOnManyCPUs,
	} {
		t.Run(name, test)
	}
}
