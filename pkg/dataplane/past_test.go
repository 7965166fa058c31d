// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// What another layout's maps counted is there for whoever starts, until it is forgotten.
func TestPastOfAnotherLayout(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		d := b.open(opts)
		if past, err := d.Retired(); err != nil || len(past) != 0 {
			t.Errorf("a past of the first agent: %v", past)
		}
		check(t, d.Grant(phone, allow))
		b.count(allow.Account, 1500)
		epoch, before := d.Epoch(), BootNow()
		check(t, d.state.Identity.Put(uint32(0), &hotspotMeta{LayoutVersion: layoutVersion + 1, Epoch: epoch}))
		check(t, d.Close())

		want := []Retired{{Epoch: epoch, Spent: map[Account]uint64{allow.Account: 1500}}}
		for _, start := range []string{"the first", "the second"} {
			d = b.open(opts)
			b.wantPast(d, start, before, want)
			check(t, d.Close())
		}
		d = b.open(opts)
		check(t, d.RemoveRetired())
		b.wantPast(d, "after it was forgotten", before, nil)
	})
}

// What an agent without CAP_SYS_ADMIN takes the layout for is what the maps say of it.
func TestOwnUsageLayoutIsTheMaps(t *testing.T) {
	b := newTestbed(t, false)
	got, err := usageLayoutOf(b.Usages)
	if err != nil {
		t.Fatal(err)
	}
	if want := ownUsageLayout(); got != want {
		t.Errorf("the maps say %+v, without asking it is %+v", got, want)
	}
	if size := binary.Size(hotspotUsage{}); size != int(b.Usages.ValueSize()) {
		t.Errorf("values have %d bytes, not %d", b.Usages.ValueSize(), size)
	}
}

// An agent that may not make maps anew leaves those of another version, and what they
// enforce.
func TestAnotherLayoutIsKept(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	opts := b.options("lan")
	d := b.open(opts)
	check(t, d.Grant(phone, allow))
	b.count(allow.Account, 1500)
	check(t, d.state.Identity.Put(uint32(0), &hotspotMeta{LayoutVersion: layoutVersion + 1, Epoch: d.Epoch()}))
	check(t, d.Close())
	opts.AdoptOnly = true
	if d, err := Open(opts); !errors.Is(err, ErrOtherVersion) {
		t.Errorf("opened over the maps of another version: %v, %v", d, err)
	}
	opts.AdoptOnly = false
	if past, err := b.open(opts).Retired(); err != nil || len(past) != 1 {
		t.Errorf("%d sets of former maps, want the one that was kept", len(past))
	}
}

// wantPast compares all but the moments, which are after before.
func (b *box) wantPast(d *Dataplane, when string, before Boottime, want []Retired) {
	b.t.Helper()
	got, err := d.Retired()
	check(b.t, err)
	for i := range got {
		if got[i].Until < before || got[i].Until > BootNow() {
			b.t.Errorf("%s: counted until %d, not after %d", when, got[i].Until, before)
		}
		got[i].Until = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// An agent of layout 2 left its maps, which are no arrays, with what its programs
// counted in them.
func TestPastOfLayout2(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	const account, epoch = 7, 11
	b.leaveLayout2(account, epoch)

	d := b.open(b.options("lan"))
	if d.Epoch() == epoch {
		t.Error("maps of layout 2 were adopted")
	}
	b.usesMaps("lan", d)
	b.wantPast(d, "of layout 2", 0, []Retired{{Epoch: epoch, Spent: map[Account]uint64{account: 1500 + 900}}})
}

// leaveLayout2 does what an agent of layout 2 did, and sends a packet each way through
// its programs.
func (b *box) leaveLayout2(account, epoch uint64) {
	t := b.t
	t.Helper()
	check(t, ensureBPFFS(b.bpffs))
	dir := pins{b.bpffs}.maps()
	check(t, os.Mkdir(dir, 0o700))
	coll, err := ebpf.NewCollection(readSpec(t, "testdata/layout-2.o.gz"))
	check(t, err)
	defer coll.Close()
	for name, m := range coll.Maps {
		if name[0] != '.' {
			check(t, m.Pin(filepath.Join(dir, name)))
		}
	}
	meta := binary.NativeEndian.AppendUint64(nil, 2)
	check(t, coll.Maps["identity"].Put(uint32(0), binary.NativeEndian.AppendUint64(meta, epoch)))
	check(t, coll.Maps["usages"].Put(account, make([]byte, coll.Maps["usages"].ValueSize())))
	check(t, coll.Maps["rules"].Put(macToWire(clientMAC), ruleOfLayout2(account)))
	for dir, size := range [directions]int{upload: 1500, download: 900} {
		verdict, err := coll.Programs[programNames[dir]].Run(&ebpf.RunOptions{Data: packet4(t, dir, size)})
		if err != nil || verdict != actUnspec {
			t.Fatalf("a packet of %d bytes: verdict %d, %v", size, verdict, err)
		}
	}
}

// ruleOfLayout2 allows all: account, byte limit, deadline, two speeds, verdict.
func ruleOfLayout2(account uint64) []byte {
	rule := binary.NativeEndian.AppendUint64(nil, account)
	for range 2 {
		rule = binary.NativeEndian.AppendUint64(rule, NoLimit)
	}
	rule = append(rule, make([]byte, directions*24)...)
	return append(rule, byte(Allow), 0, 0, 0, 0, 0, 0, 0)
}

func readSpec(t *testing.T, path string) *ebpf.CollectionSpec {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	check(t, err)
	object, err := io.ReadAll(unzipped)
	check(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	check(t, err)
	return spec
}

// Maps that nobody can read are said to be lost, and hold up nothing.
func TestPastThatCannotBeRead(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	check(t, d.Close())
	check(t, os.Remove(filepath.Join(pins{b.bpffs}.maps(), hotspotMapUsages)))
	d = b.open(b.options("lan"))
	b.wantPast(d, "without its usages", 0, nil)
	if !b.log.has("lost, in the clients' favour") {
		t.Error("the log does not say what is lost")
	}
	check(t, d.RemoveRetired())
}
