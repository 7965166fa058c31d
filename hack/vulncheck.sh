#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fails when the code calls something with a known vulnerability. The database is a Go
# module, fetched in its newest version through the module proxy like the dependencies;
# a database that cannot be fetched is a failure, too.
#
#   GOBIN=DIR hack/vulncheck.sh MODULE...      with govulncheck in DIR, folders of modules
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "vulncheck: $1" >&2
	exit 1
}

# value KEY: of what go mod download printed.
value() { echo "$answer" | sed -n "s/^.*\"$1\": \"\(.*\)\",*\$/\1/p"; }

answer=$(go mod download -json golang.org/x/vulndb@latest) || fail "the database cannot be fetched: $(value Error)"
database=$(value Dir)/data/osv
entries=$(find "$database" -name 'GO-*.json' | wc -l)
# A database that moved must not pass for one without findings.
[ "$entries" -gt 4000 ] || fail "$database has $entries vulnerabilities, fewer than expected"
echo "vulncheck: $entries known vulnerabilities, as of $(value Version)"
for module in "$@"; do
	echo "vulncheck: $module"
	"$GOBIN/govulncheck" -C "$module" -db "file://$database" ./...
done
