// SPDX-License-Identifier: Apache-2.0

package forwarding

import "testing"

// The lines are of /proc/net/tcp and /proc/net/udp6 (proc(5)).
func TestParseSocket(t *testing.T) {
	for _, c := range []struct {
		line, state string
		port        uint16
		is          bool
	}{
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n", "0A", 0, false},
		{"   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1\n", "0A", 80, true},
		{"   1: 0100007F:0050 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 101 1\n", "0A", 0, false},
		{"  12: 00000000000000000000000000000000:0043 00000000000000000000000000000000:0000 07 00000000:00000000\n", "07", 67, true},
		{"   0: 0100007F:FFFFF 00000000:0000 0A\n", "0A", 0, false},
		{"   0: 0100007F 00000000:0000 0A\n", "0A", 0, false},
		{"", "0A", 0, false},
	} {
		port, is := parseSocket(c.line, c.state)
		if is != c.is || is && port != c.port {
			t.Errorf("%q: port %d, %t", c.line, port, is)
		}
	}
}
