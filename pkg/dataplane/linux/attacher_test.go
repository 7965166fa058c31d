// SPDX-License-Identifier: Apache-2.0

package linux

import "testing"

// Programs of both modes would count everything twice.
func TestOtherModeIsRefused(t *testing.T) {
	needTCX(t)
	for _, first := range []bool{false, true} {
		b := newBox(t)
		b.veth("lan")
		b.clsact = first
		check(t, b.open(b.options("lan")).Close())
		b.clsact = !first
		if d, err := Open(b.options("lan")); err == nil {
			closeOnce(t, d)
			t.Errorf("clsact %v: opened with the programs of the other mode on the interface", b.clsact)
		}
		check(t, detachIn(b.bpffs, b.NetNS()))
		b.open(b.options("lan"))
	}
}
