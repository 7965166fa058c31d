#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs Debian packages that are missing; says nothing and calls no apt where
# all is there.
#
#   hack/deps.sh run        what build, demo and test need beyond make and Go
#   hack/deps.sh run dev    and what lint and generate need
#   hack/deps.sh bench      what the benchmark's rivals need
#   hack/deps.sh torture    what the torture's virtual machine needs
#   hack/deps.sh clients    what makes the root of the clients (hack/clients-root.sh)
set -eu
export PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"

# An older Go fetches the toolchain that go.mod names, from this version on.
go_floor=1.21

fail() {
	echo "deps: $1" >&2
	exit 1
}

# need PACKAGE TEST: the package is missing when the test fails.
missing=
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

has() { command -v "$1"; }

need_for_run() {
	need gcc has gcc                                      # SQLite is C, called by cgo
	need libc6-dev test -e /usr/include/stdlib.h          # with its headers
	need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt # Go fetches modules over TLS
	need nftables has nft                                 # the lab's independent counts
	need e2fsprogs has mkfs.ext4                          # disks that fail are file systems of their own
	need mount has mount
	need util-linux has nsenter                           # processes in the lab's hosts
	need iproute2 has ip                                  # tests change interfaces as people do
	need sqlite3 has sqlite3                              # tests read the database past the agent
	need curl has curl                                    # tests have others' clients meet the portal
	need busybox-static has busybox                       # udhcpc
	need dnsmasq-base has dnsmasq                         # the programs without the service
}

need_for_dev() {
	need git has git
	need clang-14 has clang-14          # the pinned compiler of the kernel programs
	need llvm-14 has llvm-strip-14
	need libbpf-dev test -e /usr/include/bpf/bpf_helpers.h
	need linux-libc-dev test -e /usr/include/linux/bpf.h
}

need_for_bench() {
	need iproute2 has tc       # HTB
	need opennds has opennds   # with what it calls
	need iptables has iptables
	has opennds >/dev/null || keep_from_starting opennds.service
}

need_for_torture() {
	need qemu-system-x86 has qemu-system-x86_64 # a machine whose power can be cut
	need busybox-static has busybox
	need cpio has cpio
	need xz-utils has xz
}

need_for_clients() {
	need debootstrap has debootstrap
}

# keep_from_starting UNIT: a rival is measured in a lab; the service that its package
# would start here, and at every boot, is masked before it is installed.
keep_from_starting() {
	unit=/etc/systemd/system/$1
	[ "$(id -u)" != 0 ] || [ -e "$unit" ] || [ -L "$unit" ] || { mkdir -p "${unit%/*}" && ln -s /dev/null "$unit"; }
}

check_go() {
	has go >/dev/null || fail "Go is missing: install Go $(sed -n 's/^go //p' go.mod) from https://go.dev/dl into /usr/local/go"
	version=$(GOTOOLCHAIN=local go version | sed 's/.* go\([0-9.]*\).*/\1/')
	[ "$(printf '%s\n' "$go_floor" "$version" | sort -V | head -n 1)" = "$go_floor" ] ||
		fail "Go $version is too old: install Go $(sed -n 's/^go //p' go.mod) from https://go.dev/dl into /usr/local/go"
}

install_missing() {
	[ -n "$missing" ] || return 0
	has apt-get >/dev/null || fail "install with this system's package manager what Debian calls:$missing"
	[ "$(id -u)" = 0 ] || fail "run as root: apt-get install --no-install-recommends$missing"
	echo "deps: installing$missing"
	# The package lists of a fresh machine are empty or old.
	quiet install_packages 2>/dev/null || {
		quiet apt-get update -qq || fail "apt-get update failed: check the network and /etc/apt"
		quiet install_packages || fail "apt-get could not install:$missing"
	}
}

install_packages() {
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

# quiet runs a command whose output matters only when it fails.
quiet() {
	output=$("$@" 2>&1) || {
		echo "$output" >&2
		return 1
	}
}

cd "$(dirname "$0")/.."
for part in "$@"; do
	case $part in
	run) check_go && need_for_run ;;
	dev) need_for_dev ;;
	bench) need_for_bench ;;
	torture) need_for_torture ;;
	clients) need_for_clients ;;
	*) fail "unknown part $part: want run, dev, bench, torture or clients" ;;
	esac
done
install_missing
