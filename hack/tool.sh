#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs a Go program of an exact version into $GOBIN, unless it is there.
#
#   GOBIN=DIR hack/tool.sh NAME PACKAGE VERSION
set -eu
name=$1 package=$2 version=$3
have=$(go version -m "$GOBIN/$name" 2>/dev/null | awk '$1 == "mod" { print $3 }')
[ "$have" = "$version" ] && exit 0
mkdir -p "$GOBIN"
echo "deps: building $name $version"
go install "$package@$version"
