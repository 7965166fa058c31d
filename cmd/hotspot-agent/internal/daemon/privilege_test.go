// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"testing"

	libcap "kernel.org/pub/linux/libs/security/libcap/cap"
)

// An agent that loaded the programs by CAP_SYS_ADMIN alone must be able to do that again.
func TestKeptOf(t *testing.T) {
	for name, test := range map[string]struct{ have, want []libcap.Value }{
		"root":            {[]libcap.Value{libcap.BPF, libcap.NET_ADMIN, libcap.PERFMON, libcap.DAC_OVERRIDE, libcap.SYS_ADMIN, libcap.CHOWN}, kept},
		"few":             {[]libcap.Value{libcap.BPF, libcap.NET_ADMIN, libcap.PERFMON}, []libcap.Value{libcap.BPF, libcap.NET_ADMIN, libcap.PERFMON}},
		"SYS_ADMIN alone": {[]libcap.Value{libcap.NET_ADMIN, libcap.SYS_ADMIN}, []libcap.Value{libcap.NET_ADMIN, libcap.SYS_ADMIN}},
		"without PERFMON": {[]libcap.Value{libcap.BPF, libcap.NET_ADMIN, libcap.SYS_ADMIN}, []libcap.Value{libcap.BPF, libcap.NET_ADMIN, libcap.SYS_ADMIN}},
	} {
		set := libcap.NewSet()
		if err := set.SetFlag(libcap.Permitted, true, test.have...); err != nil {
			t.Fatal(err)
		}
		if got := keptOf(set); !slices.Equal(got, test.want) {
			t.Errorf("%s: kept %v, want %v", name, got, test.want)
		}
	}
}
