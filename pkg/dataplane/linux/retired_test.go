// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// What another layout's maps counted is there for every process that starts, until it is removed.
func TestRetiredOfAnotherLayout(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		d := b.open(opts)
		if retired, err := d.Retired(); err != nil || len(retired) != 0 {
			t.Errorf("retired maps of the first agent: %v", retired)
		}
		check(t, d.Grant(phone, allow))
		b.count(allow.Account, 1500)
		epoch, before := d.maps.Epoch, kernel.BootNow()
		check(t, d.maps.Identity.Put(uint32(0), &bpf.HotspotMeta{LayoutVersion: bpf.LayoutVersion + 1, Epoch: epoch}))
		check(t, d.Close())

		want := []dataplane.Retired{{Epoch: epoch, Spent: map[dataplane.Account]uint64{allow.Account: 1500}}}
		for _, start := range []string{"the first", "the second"} {
			d = b.open(opts)
			b.wantRetired(d, start, before, want)
			check(t, d.Close())
		}
		d = b.open(opts)
		check(t, d.RemoveRetired())
		b.wantRetired(d, "after it was forgotten", before, nil)
	})
}

// What an agent without CAP_SYS_ADMIN takes the layout for is what the maps say of it.
func TestOwnAccountLayoutIsTheMaps(t *testing.T) {
	b := newTestbed(t, false)
	got, err := pins.AccountLayoutOf(b.Accounts, pins.VersionsOfAccountNames[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := pins.OwnAccountLayout(); got != want {
		t.Errorf("the maps say %+v, without asking it is %+v", got, want)
	}
	if size := binary.Size(bpf.HotspotAccount{}); size != int(b.Accounts.ValueSize()) {
		t.Errorf("values have %d bytes, not %d", b.Accounts.ValueSize(), size)
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
	check(t, d.maps.Identity.Put(uint32(0), &bpf.HotspotMeta{LayoutVersion: bpf.LayoutVersion + 1, Epoch: d.maps.Epoch}))
	check(t, d.Close())
	opts.AdoptOnly = true
	if d, err := Open(opts); !errors.Is(err, dataplane.ErrOtherVersion) {
		t.Errorf("opened over the maps of another version: %v, %v", d, err)
	}
	opts.AdoptOnly = false
	if retired, err := b.open(opts).Retired(); err != nil || len(retired) != 1 {
		t.Errorf("%d sets of former maps, want the one that was kept", len(retired))
	}
}

// wantRetired compares all but the times, which are after before.
func (b *box) wantRetired(d *Dataplane, when string, before dataplane.Boottime, want []dataplane.Retired) {
	b.t.Helper()
	got, err := d.Retired()
	check(b.t, err)
	for i := range got {
		if got[i].Until < before || got[i].Until > kernel.BootNow() {
			b.t.Errorf("%s: counted until %d, not after %d", when, got[i].Until, before)
		}
		got[i].Until = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// Agents of former layouts left their maps, under the names of then, with what their
// programs counted in them.
func TestRetiredOfFormerLayouts(t *testing.T) {
	for layout, admit := range map[uint32]func(*testing.T, map[string]*ebpf.Map, uint64){
		2: admitInLayout2, // its maps are no arrays
		5: admitInLayout5,
	} {
		t.Run(fmt.Sprint(layout), func(t *testing.T) {
			b := newBox(t)
			b.veth("lan")
			const account, epoch = 7, 11
			b.leaveLayout(layout, epoch, func(maps map[string]*ebpf.Map) { admit(t, maps, account) })

			d := b.open(b.options("lan"))
			if d.maps.Epoch == epoch {
				t.Errorf("maps of layout %d were adopted", layout)
			}
			if want := fmt.Sprintf("layout version %d", layout); !b.log.has(want) {
				t.Errorf("the log does not say %q", want)
			}
			b.usesMaps("lan", d)
			b.wantRetired(d, "of the former layout", 0, []dataplane.Retired{{Epoch: epoch, Spent: map[dataplane.Account]uint64{account: 1500 + 900}}})
		})
	}
}

// leaveLayout does what an agent of a former layout did, and sends a packet each way
// through its programs.
func (b *box) leaveLayout(layout uint32, epoch uint64, admit func(map[string]*ebpf.Map)) {
	t := b.t
	t.Helper()
	check(t, pins.EnsureBPFFS(b.bpffs))
	dir := pins.Folder{Root: b.bpffs}.Maps()
	check(t, os.Mkdir(dir, 0o700))
	coll, err := ebpf.NewCollection(readSpec(t, fmt.Sprintf("testdata/layout-%d.o.gz", layout)))
	check(t, err)
	defer coll.Close()
	for name, m := range coll.Maps {
		if name[0] != '.' {
			check(t, m.Pin(filepath.Join(dir, name)))
		}
	}
	meta := binary.NativeEndian.AppendUint32(nil, layout)
	meta = binary.NativeEndian.AppendUint32(meta, 0)
	check(t, coll.Maps["identity"].Put(uint32(0), binary.NativeEndian.AppendUint64(meta, epoch)))
	admit(coll.Maps)
	for dir, size := range [bpf.Directions]int{bpf.Upload: 1500, bpf.Download: 900} {
		verdict, err := coll.Programs[bpf.ProgramNames[dir]].Run(&ebpf.RunOptions{Data: packet4(t, dir, size)})
		if err != nil || verdict != actUnspec {
			t.Fatalf("a packet of %d bytes: verdict %d, %v", size, verdict, err)
		}
	}
}

// admitInLayout2 allows all: account, byte limit, deadline, two speeds, verdict.
func admitInLayout2(t *testing.T, maps map[string]*ebpf.Map, account uint64) {
	rule := append(formerRule(account), byte(dataplane.Allow), 0, 0, 0, 0, 0, 0, 0)
	check(t, maps["usages"].Put(account, make([]byte, maps["usages"].ValueSize())))
	check(t, maps["rules"].Put(bpf.MACToWire(clientMAC), rule))
}

// admitInLayout5 does so with the indexes of the account and of its queues before the
// verdict, and the bound address after it.
func admitInLayout5(t *testing.T, maps map[string]*ebpf.Map, account uint64) {
	rule := formerRule(account)
	for _, word := range []uint32{3, tables.NoIndex, uint32(dataplane.Allow), 0} {
		rule = binary.NativeEndian.AppendUint32(rule, word)
	}
	client := binary.NativeEndian.AppendUint64(nil, 0)
	binary.NativeEndian.PutUint32(client, 1) // the first rule is in force
	client = append(client, rule...)
	usage := binary.NativeEndian.AppendUint64(nil, account)
	pad := func(value []byte, m *ebpf.Map) []byte {
		return append(value, make([]byte, int(m.ValueSize())-len(value))...)
	}
	check(t, maps["usages"].Put(uint32(3), pad(usage, maps["usages"])))
	check(t, maps["rules"].Put(uint32(5), pad(client, maps["rules"])))
	check(t, maps["clients"].Put(bpf.MACToWire(clientMAC), uint32(5)))
}

// formerRule is what rules of all layouts begin with: account, byte limit, deadline,
// two speeds.
func formerRule(account uint64) []byte {
	rule := binary.NativeEndian.AppendUint64(nil, account)
	for range 2 {
		rule = binary.NativeEndian.AppendUint64(rule, dataplane.NoLimit)
	}
	return append(rule, make([]byte, bpf.Directions*24)...)
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

// Maps that cannot be read are logged as lost, and delay nothing.
func TestRetiredThatCannotBeRead(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	check(t, d.Close())
	check(t, os.Remove(filepath.Join(pins.Folder{Root: b.bpffs}.Maps(), bpf.HotspotMapAccounts)))
	d = b.open(b.options("lan"))
	b.wantRetired(d, "without its accounts", 0, nil)
	if !b.log.has("lost, in the clients' favour") {
		t.Error("the log does not say what is lost")
	}
	check(t, d.RemoveRetired())
}
