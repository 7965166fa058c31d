#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes each target of the repository in turn. What a target fails with is left in
# its package's testdata/fuzz, as a test for ever: mend the code and commit both.
#
#   hack/fuzz.sh TIME      e.g. 10s, for each target
set -eu
time=$1
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT

targets=$(grep -r --include='*_test.go' '^func Fuzz' cmd pkg internal | sed -n 's/^\(.*\)\/[^/]*_test\.go:func \(Fuzz[A-Za-z0-9]*\)(.*/\1 \2/p' | sort)
[ -n "$targets" ] || { echo "fuzz: there are no targets" >&2; exit 1; }

# over reports that nothing failed but that the time was over in the middle of an input,
# which Go tells as a failure (https://go.dev/issue/75804).
over() { grep -q '^ *context deadline exceeded$' "$said" && ! grep -q -e 'Failing input' -e panic "$said"; }

echo "$targets" | while read -r package target; do
	echo "== $package $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "./$package" </dev/null >"$said" 2>&1 || over || {
		cat "$said"
		exit 1
	}
	tail -n 1 "$said"
done
