#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the folder of an unpacked Debian kernel package, and fetches it when it is
# not there yet.
#
#   hack/kernel.sh [PACKAGE [SUITE]]
#
# PACKAGE is a linux-image package (default: the current cloud kernel of this
# Debian), SUITE another Debian suite of the configured mirror to take it from,
# e.g. bookworm-backports.
set -euo pipefail

package=${1:-linux-image-cloud-amd64}
suite=${2:-}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hotspot-agent/kernels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# apt reads the machine's own sources, with only the suite changed.
apt_opts=()
if [ -n "$suite" ]; then
	mkdir -p "$work/apt/lists/partial"
	sed -n '/^$/q;p' /etc/apt/sources.list.d/debian.sources | sed "s/^Suites:.*/Suites: $suite/" >"$work/apt/debian.sources"
	apt_opts=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/apt" -o "Dir::State::Lists=$work/apt/lists")
	apt-get "${apt_opts[@]}" update -qq >&2
fi

# A meta package names the real one in its Depends.
while [[ $package != linux-image-[0-9]* ]]; do
	about=$(apt-cache "${apt_opts[@]}" show --no-all-versions "$package")
	package=$(sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' <<<"$about")
	[ -n "$package" ] || { echo "kernel: no kernel package found" >&2; exit 1; }
done

mkdir -p "$cache"
if [ ! -d "$cache/$package" ]; then
	echo "kernel: fetching $package" >&2
	(cd "$work" && apt-get "${apt_opts[@]}" download -qq "$package" >&2)
	dpkg-deb -x "$work/$package"_*.deb "$cache/$package.part"
	mv "$cache/$package.part" "$cache/$package"
fi
echo "$cache/$package"
