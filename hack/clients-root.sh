#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the Debian root that the clients of `make clients` run in: those of a machine of its
# own, so that none of their services starts here. It stays as it is: a run mounts it
# below a layer of its own.
#
#   hack/clients-root.sh FOLDER
set -eu
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive

suite=trixie
packages="bind9-dnsutils busybox ca-certificates chromium curl dbus dhcpcd-base dnsmasq-base firefox-esr
fonts-dejavu-core iproute2 network-manager radvd systemd"

root=$1
stamp=$root/etc/hotspot-clients
wanted=$(echo $suite $packages)
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

say() { echo "clients: $1"; }

# Of a root that is made by a run that was ended, nothing is used.
building=$root.building
rm -rf --one-file-system "$building"
trap 'rm -rf --one-file-system "$building"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$(dirname "$root")"

# log runs a command whose output matters only when it fails.
log() {
	"$@" >"$building.log" 2>&1 || {
		tail -n 20 "$building.log" >&2
		exit 1
	}
	rm -f "$building.log"
}

# inside runs a command in the new root, with a /proc of its own.
inside() {
	unshare --mount --pid --fork --kill-child sh -c '
		mount --make-rprivate / && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$building" "$@"
}

# The mirror that this machine has its own packages from; debootstrap's own where it is no Debian.
mirror=
if command -v apt-get >/dev/null; then
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Component: main' | head -n 1)
fi

say "a Debian root in $root, once: the base of $suite (some minutes)"
# shellcheck disable=SC2086 # none, or one word
log debootstrap --variant=minbase "$suite" "$building" $mirror
printf '#!/bin/sh\nexit 101\n' >"$building/usr/sbin/policy-rc.d" # no service starts
chmod +x "$building/usr/sbin/policy-rc.d"
if command -v apt-config >/dev/null; then # how this machine reaches its mirror
	apt-config dump | grep '^Acquire::[Hh][Tt][Tt][Pp]' >"$building/etc/apt/apt.conf.d/90host" || true
fi
say "the clients: $(echo $packages) (some minutes, 500 MB)"
log inside apt-get update -qq
# shellcheck disable=SC2086 # a list of words
log inside apt-get install -y -qq --no-install-recommends $packages
log inside apt-get clean
rm -rf "$building/var/lib/apt/lists" "$building/etc/apt/apt.conf.d/90host"
echo "$wanted" >"$building/etc/hotspot-clients"
rm -rf --one-file-system "$root"
mv "$building" "$root"
