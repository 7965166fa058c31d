// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"strings"
	"testing"
)

// FuzzParseMAC: what is taken is the same bytes in any form, and prints in ours.
func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001", "02005e100001", "02:00:5e:10:00", "02:00-5e:10:00:01", "02:00:5e:10:00:0g", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := ParseMAC(s)
		if err != nil {
			return
		}
		digits := strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
		if plain := strings.ReplaceAll(mac.String(), ":", ""); plain != digits {
			t.Errorf("%q is read as %s", s, mac)
		}
		if again, err := ParseMAC(mac.String()); err != nil || again != mac {
			t.Errorf("%q prints as %s, which is read as %v, %v", s, mac, again, err)
		}
	})
}
