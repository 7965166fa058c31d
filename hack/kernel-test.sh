#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots a Debian kernel package in QEMU and runs the kernel tests on it.
#
#   hack/kernel-test.sh [PACKAGE [SUITE]]
#
# PACKAGE is a linux-image package (default: the current cloud kernel of this
# Debian), SUITE another Debian suite of the configured mirror to take it from,
# e.g. bookworm-backports. Needs root only to install what is missing.
# Software emulation: needs no KVM, and no figure from it means speed.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for need in qemu-system-x86_64:qemu-system-x86 cpio:cpio busybox:busybox-static xz:xz-utils; do
	command -v "${need%%:*}" >/dev/null ||
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need##*:}" >/dev/null
done

kernel=$(hack/kernel.sh "$@")
vmlinuz=$(ls "$kernel"/boot/vmlinuz-*)
release=${vmlinuz##*/vmlinuz-}
modules=$(find "$kernel" -type d -path "*/lib/modules/$release")

root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,tmp,run,etc} "$root/lib/modules/$release"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$modules"/modules.* "$root/lib/modules/$release/"
for dir in net drivers/net/veth.ko* drivers/net/dummy.ko* drivers/net/ifb.ko* drivers/net/tun.ko* lib crypto arch/x86/crypto; do
	for found in "$modules"/kernel/$dir; do
		[ -e "$found" ] || continue
		target=$root/lib/modules/$release/kernel/${found#"$modules"/kernel/}
		mkdir -p "$(dirname "$target")" && cp -r "$found" "$target"
	done
done
find "$root/lib/modules" -name '*.ko.xz' -exec xz -d {} +
busybox depmod -b "$root" "$release"

echo "kernel-test: building the tests"
CGO_ENABLED=0 go test -c -o "$root/bin/dataplane.test" ./pkg/dataplane/linux
mkdir -p "$root/src/pkg/dataplane/linux" && cp -r bpf "$root/src/" && cp -r pkg/dataplane/linux/testdata "$root/src/pkg/dataplane/linux/"

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mkdir -p /run/netns
mount -t bpf bpf /sys/fs/bpf
for m in veth bridge 8021q dummy tun sch_ingress cls_bpf cls_u32 cls_matchall act_gact; do modprobe $m || echo "no module $m"; done
ip link set lo up
echo "kernel-test: booted $(uname -r)"
cd /src/pkg/dataplane/linux
if HOTSPOT_REQUIRE_KERNEL=1 HOTSPOT_EMULATED=1 dataplane.test -test.v -test.timeout 20m >/tmp/out 2>&1; then result=passed; else result=failed; fi
grep -E '^--- SKIP|^(FAIL|panic)' /tmp/out
[ $result = passed ] || grep -B 40 -E '^--- FAIL' /tmp/out | grep -v -E '^=== |--- PASS'
grep -cE '^--- PASS' /tmp/out | sed 's/$/ tests passed/'
echo "kernel-test: $(uname -r): $result"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs.gz"

timeout 1500 qemu-system-x86_64 -M q35 -cpu Nehalem,-cx16 -smp 2 -m 2048 -nographic -no-reboot \
	-kernel "$vmlinuz" -initrd "$work/initramfs.gz" \
	-append "console=ttyS0 quiet panic=-1 sysctl.kernel.unprivileged_bpf_disabled=2" </dev/null | tee "$work/console"
grep -q "kernel-test: $release: passed" "$work/console"
