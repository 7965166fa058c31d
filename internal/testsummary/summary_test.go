// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummary(t *testing.T) {
	for name, test := range map[string]struct {
		events string
		counts string
		good   bool
		prints []string
	}{
		"all good": {
			events: `{"Action":"run","Package":"p","Test":"A"}
				{"Action":"output","Package":"p","Test":"A","Output":"quiet\n"}
				{"Action":"pass","Package":"p","Test":"A","Elapsed":1}
				{"Action":"pass","Package":"p","Elapsed":1.5}
				{"Action":"skip","Package":"q"}`,
			counts: "1 passed, 0 failed, 0 skipped", good: true,
			prints: []string{"ok   p (1 tests, 1.5 s)"},
		},
		"a skip is no proof": {
			events: `{"Action":"pass","Package":"p","Test":"A"}
				{"Action":"output","Package":"p","Test":"B","Output":"needs root\n"}
				{"Action":"skip","Package":"p","Test":"B"}
				{"Action":"pass","Package":"p"}`,
			counts: "1 passed, 0 failed, 1 skipped",
			prints: []string{"needs root"},
		},
		"a failure prints its output": {
			events: `{"Action":"output","Package":"p","Test":"A","Output":"got 1, want 2\n"}
				{"Action":"fail","Package":"p","Test":"A"}
				{"Action":"fail","Package":"p"}`,
			counts: "0 passed, 1 failed, 0 skipped",
			prints: []string{"got 1, want 2", "FAIL p"},
		},
		"a build that fails": {
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}
				{"ImportPath":"p","Action":"build-fail"}
				{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}
				{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			counts: "0 passed, 1 failed, 0 skipped",
			prints: []string{"undefined: x"},
		},
		"nothing ran": {counts: "0 passed, 0 failed, 0 skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			sum := newSummary(&out)
			if err := sum.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			if sum.counts() != test.counts || sum.good() != test.good {
				t.Errorf("counts %q, good %v, want %q, %v", sum.counts(), sum.good(), test.counts, test.good)
			}
			for _, want := range test.prints {
				if !strings.Contains(out.String(), want) {
					t.Errorf("printed %q, want %q in it", out.String(), want)
				}
			}
			if strings.Contains(out.String(), "quiet") {
				t.Errorf("printed the output of a test that passed: %q", out.String())
			}
		})
	}
}

func TestPhases(t *testing.T) {
	var got [][]string
	for _, args := range phases([]string{"--", "-race", "./a", "--", "-C", "torture", "-p=1", "./b", "--", "./c"}) {
		got = append(got, goTest(args))
	}
	want := [][]string{
		{"test", "-json", "-race", "./a"},
		{"test", "-C", "torture", "-json", "-p=1", "./b"},
		{"test", "-json", "./c"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
