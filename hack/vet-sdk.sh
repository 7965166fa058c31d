#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Vets and builds what embedders import, and the examples, on systems on which no agent
# runs.
#
#   hack/vet-sdk.sh MODULE...      the modules of the examples
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

for system in darwin windows; do
	echo "== $system"
	GOOS=$system go vet ./pkg/api
	GOOS=$system go build ./pkg/api
	for module in "$@"; do
		GOOS=$system go vet -C "$module" ./...
		GOOS=$system go build -C "$module" -o /dev/null ./...
	done
done
