#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes each target of the repository in turn. Go leaves a failing input in the
# package's testdata/fuzz: commit it together with the fix.
#
#   hack/fuzz.sh TIME      e.g. 10s, for each target
set -eu
time=$1
cd "$(dirname "$0")/.."
output=$(mktemp)
trap 'rm -f "$output"' EXIT

targets=$(grep -r --include='*_test.go' '^func Fuzz' cmd pkg internal bench torture | sed -n 's/^\(.*\)\/[^/]*_test\.go:func \(Fuzz[A-Za-z0-9]*\)(.*/\1 \2/p' | sort)
[ -n "$targets" ] || { echo "fuzz: there are no targets" >&2; exit 1; }

# timed_out reports that the only failure was the end of -fuzztime in the middle of an
# input, which Go counts as one (https://go.dev/issue/75804).
timed_out() { grep -q '^ *context deadline exceeded$' "$output" && ! grep -q -e 'Failing input' -e panic "$output"; }

echo "$targets" | while read -r package target; do
	echo "== $package $target"
	go test -C "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x . </dev/null >"$output" 2>&1 || timed_out || {
		cat "$output"
		exit 1
	}
	tail -n 1 "$output"
done
