// SPDX-License-Identifier: Apache-2.0

package netchange

import (
	"strings"
	"testing"
	"time"
)

// What the agent reports is compared with what packets saw.
func TestReported(t *testing.T) {
	good := reported{begun: 2, over: 2, ms: 300, statusMS: 299}
	for name, test := range map[string]struct {
		spoil func(*reported)
		open  time.Duration
		want  string
	}{
		"all is reported":     {func(*reported) {}, 300 * time.Millisecond, ""},
		"longer than packets": {func(*reported) {}, time.Millisecond, ""},
		"shorter":             {func(*reported) {}, 501 * time.Millisecond, "unpaid packets passed"},
		"an end is missing":   {func(a *reported) { a.over = 1 }, 0, "events of a beginning"},
		"nothing is reported": {func(a *reported) { *a = reported{} }, 0, "events of a beginning"},
		"the status differs":  {func(a *reported) { a.statusMS = 297 }, 0, "the status of 297"},
	} {
		all := good
		test.spoil(&all)
		got := strings.Join(all.broken(2, test.open), "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: broken is %q, want %q", name, got, test.want)
		}
	}
}
