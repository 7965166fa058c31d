#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fails when the code calls something with a known vulnerability. The database comes
# as a Go module, through the module proxy that all else comes from, always the newest
# one; where it cannot be had, that is a failure, too.
#
#   GOBIN=DIR hack/vulncheck.sh      with govulncheck in DIR
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "vulncheck: $1" >&2
	exit 1
}

# value KEY: of what go mod download printed.
value() { echo "$answer" | sed -n "s/^.*\"$1\": \"\(.*\)\",*\$/\1/p"; }

answer=$(go mod download -json golang.org/x/vulndb@latest) || fail "the database is not to be had: $(value Error)"
database=$(value Dir)/data/osv
entries=$(find "$database" -name 'GO-*.json' | wc -l)
# What is not read is not found: a database that moved must not pass for an empty one.
[ "$entries" -gt 4000 ] || fail "$database has $entries vulnerabilities, which cannot be all"
echo "vulncheck: $entries known vulnerabilities, as of $(value Version)"
"$GOBIN/govulncheck" -db "file://$database" ./...
