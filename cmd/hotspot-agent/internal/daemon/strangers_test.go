// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// The kind of fault: what a stranger does is paid by the router, in flash. Strangers that make
// up MACs and open the portal cost the database nothing, and memory a fixed amount.

// strangers is an agent's rules on a database on disk.
type strangers struct {
	testing.TB
	path  string
	store *sqlite.Store
	rules *manager.Manager
}

func newStrangers(tb testing.TB) *strangers {
	tb.Helper()
	s := &strangers{TB: tb, path: filepath.Join(tb.TempDir(), "hotspot.db")}
	var err error
	if s.store, err = sqlite.Open(s.path, nil); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.store.Close() })
	clock := sessionstest.NewClock()
	s.rules = manager.New(s.store, sessionstest.NewKernel(clock), clock, manager.Config{})
	if err := s.rules.Reconcile(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.rules.CreateDevice(tb.Context(), sessions.DeviceSpec{MAC: first.String()}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// come has n strangers open the portal, from one on.
func (s *strangers) come(from, n int) {
	s.Helper()
	for i := from; i < from+n; i++ {
		mac, ip := dataplane.MAC{6}, [4]byte{10}
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		ip[1], ip[2], ip[3] = byte(i>>16), byte(i>>8), byte(i)
		if _, err := s.rules.Observe(s.Context(), mac, netip.AddrFrom4(ip), "phone"); err != nil {
			s.Fatal(err)
		}
	}
}

// footprint is what the database has: bytes of its file, rows, the number of the last event.
type footprint struct {
	bytes         int64
	devices       int
	lastEvent     int64
	writeAheadLog int64
}

func (s *strangers) footprint() (f footprint) {
	s.Helper()
	info, err := os.Stat(s.path)
	if err != nil {
		s.Fatal(err)
	}
	if log, err := os.Stat(s.path + "-wal"); err == nil {
		f.writeAheadLog = log.Size()
	}
	sum, err := s.rules.Summary(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	f.bytes, f.devices, f.lastEvent = info.Size(), sum.Devices, sum.LastSeq
	return f
}

func TestStrangersCostTheDatabaseNothing(t *testing.T) {
	const flood, mostLog, mostMemory = 40_000, 256 << 10, 16 << 20
	s := newStrangers(t)
	before, heapBefore := s.footprint(), heapInUse()
	s.come(0, flood)
	after, grown := s.footprint(), heapInUse()-heapBefore
	if after.bytes != before.bytes || after.devices != before.devices || after.lastEvent != before.lastEvent {
		t.Errorf("%d strangers made of %+v %+v", flood, before, after)
	}
	if written := after.writeAheadLog - before.writeAheadLog; written > mostLog {
		t.Errorf("%d bytes were written for the ids, want at most %d", written, mostLog)
	}
	if grown > mostMemory {
		t.Errorf("they take %d bytes of memory, want at most %d", grown, mostMemory)
	}
	if sum, err := s.rules.Summary(t.Context()); err != nil || sum.Visitors >= flood {
		t.Errorf("%d are remembered, %v", sum.Visitors, err)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkStrangers: a million with -benchtime 1000000x.
func BenchmarkStrangers(b *testing.B) {
	s := newStrangers(b)
	before, heapBefore := s.footprint(), heapInUse()
	n := 0
	for b.Loop() {
		s.come(n, 1)
		n++
	}
	after := s.footprint()
	b.ReportMetric(float64(after.bytes-before.bytes), "database-bytes")
	b.ReportMetric(float64(after.devices-before.devices), "rows")
	b.ReportMetric(float64(after.writeAheadLog-before.writeAheadLog), "log-bytes")
	b.ReportMetric(float64(heapInUse()-heapBefore), "heap-bytes")
}
