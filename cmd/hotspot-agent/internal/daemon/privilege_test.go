// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"testing"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Who loaded the programs by CAP_SYS_ADMIN alone must be able to do that again.
func TestKeptOf(t *testing.T) {
	for name, test := range map[string]struct{ have, want []cap.Value }{
		"root":            {[]cap.Value{cap.BPF, cap.NET_ADMIN, cap.PERFMON, cap.DAC_OVERRIDE, cap.SYS_ADMIN, cap.CHOWN}, kept},
		"few":             {[]cap.Value{cap.BPF, cap.NET_ADMIN, cap.PERFMON}, []cap.Value{cap.BPF, cap.NET_ADMIN, cap.PERFMON}},
		"SYS_ADMIN alone": {[]cap.Value{cap.NET_ADMIN, cap.SYS_ADMIN}, []cap.Value{cap.NET_ADMIN, cap.SYS_ADMIN}},
		"without PERFMON": {[]cap.Value{cap.BPF, cap.NET_ADMIN, cap.SYS_ADMIN}, []cap.Value{cap.BPF, cap.NET_ADMIN, cap.SYS_ADMIN}},
	} {
		set := cap.NewSet()
		if err := set.SetFlag(cap.Permitted, true, test.have...); err != nil {
			t.Fatal(err)
		}
		if got := keptOf(set); !slices.Equal(got, test.want) {
			t.Errorf("%s: kept %v, want %v", name, got, test.want)
		}
	}
}
