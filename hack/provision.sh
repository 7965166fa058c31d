#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes a fresh Debian ready to work on hotspot-agent: make and Go, what
# `make deps` installs, and the agent itself, built. Run as root in the clone;
# a second run finds everything done. The Vagrantfile and CI call it.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/go/bin"

missing=
command -v make >/dev/null || missing="$missing make"
# Debian's Go fetches the toolchain that go.mod names.
command -v go >/dev/null || missing="$missing golang-go"
if [ -n "$missing" ]; then
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates $missing >/dev/null
fi

make --no-print-directory deps build
bin/hotspot-agent version
echo "provisioned: as root in $PWD, make demo plays a day at the kiosk, make test runs all tests"
