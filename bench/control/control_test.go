// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

func TestLatencies(t *testing.T) {
	var l latencies
	for ms := 100; ms > 0; ms-- {
		l = append(l, time.Duration(ms)*time.Millisecond)
	}
	for percent, want := range map[float64]float64{50: 51, 99: 100, 100: 100, 0: 1} {
		if got := l.at(percent); got != want {
			t.Errorf("%v %% of 1 to 100 ms are below %v, want %v", percent, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	seen := make([]int, 1000)
	err := each(t.Context(), 10, len(seen), 7, func(_ context.Context, n int) error { seen[n]++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for n, times := range seen {
		if want := min(1, n/10); times != want {
			t.Errorf("%d was done %d times, want %d", n, times, want)
		}
	}
	broken := errors.New("broken")
	err = each(t.Context(), 0, 1000, 7, func(_ context.Context, n int) error {
		if n == 500 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("each returned %v, want the error of a call", err)
	}
}

func TestPacket(t *testing.T) {
	host := func(a string) *lab.Host { return &lab.Host{Addr4: netip.MustParseAddr(a)} }
	b := packet(mac(0x01020304), net.HardwareAddr{2, 0x77, 0, 0, 0, 1}, host("10.77.0.11"), host("203.0.113.2"))
	if len(b) != 60 || net.HardwareAddr(b[6:12]).String() != "02:cc:01:02:03:04" {
		t.Fatalf("the frame % x", b)
	}
	if rest := checksum(b[14:34]); rest != 0 {
		t.Errorf("the header's checksum is wrong by %#x", rest)
	}
}

// TestProcess looks at this process.
func TestProcess(t *testing.T) {
	p := process(os.Getpid())
	before, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		after, err := p.cpu()
		if err != nil {
			t.Fatal(err)
		}
		if after-before > 20*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("10 s of work are %s", after-before)
		}
	}
	if rss, err := p.rss(); err != nil || rss < 1<<20 {
		t.Errorf("memory: %v bytes, %v", rss, err)
	}
	if _, err := p.written(); err != nil {
		t.Error(err)
	}
}
