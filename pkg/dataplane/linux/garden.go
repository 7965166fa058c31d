// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// gardenEvery is how often the addresses of names are counted.
const gardenEvery = 10 * time.Second

// loadGarden puts the programs that read the router's DNS answers in their places, or clears
// these. The pin of their map keeps them: names are learnt while no agent runs.
func loadGarden(maps *pins.Maps, names []dataplane.GardenName) error {
	if err := writeNames(maps, names); err != nil {
		return err
	}
	if len(names) == 0 {
		for place := range uint32(bpf.HotspotGardenProgramGARDEN_PROGRAMS) {
			if err := bpf.DeleteKey(maps.GardenEgress, place); err != nil {
				return kernel.Explain("clearing "+maps.GardenEgress.String(), err)
			}
		}
		return nil
	}
	programs, err := newGarden(maps.ByName)
	if err != nil {
		return err
	}
	defer func() { _ = programs.Close() }()
	return enterGarden(maps.GardenEgress, programs)
}

// newGarden loads these programs, over the maps that they share with the others.
func newGarden(byName map[string]*ebpf.Map) (*bpf.GardenPrograms, error) {
	spec, err := bpf.LoadGarden()
	if err != nil {
		return nil, err
	}
	programs := new(bpf.GardenPrograms)
	if err := spec.LoadAndAssign(programs, &ebpf.CollectionOptions{MapReplacements: shareMaps(spec, byName)}); err != nil {
		return nil, kernel.Explain("loading the programs of the walled garden", err)
	}
	return programs, nil
}

// enterGarden enters the first program last: it calls the others.
func enterGarden(places *ebpf.Map, programs *bpf.GardenPrograms) error {
	for _, p := range []struct {
		place   bpf.HotspotGardenProgram
		program *ebpf.Program
	}{
		{bpf.HotspotGardenProgramGARDEN_HINTS, programs.GardenHints},
		{bpf.HotspotGardenProgramGARDEN_RECORDS, programs.GardenRecords},
		{bpf.HotspotGardenProgramGARDEN_ANSWER, programs.GardenAnswer},
	} {
		if err := places.Put(uint32(p.place), p.program); err != nil {
			return kernel.Explain("entering the programs of the walled garden", err)
		}
	}
	return nil
}

// writeNames makes the names those of the options. Addresses do not say which name they are
// of: when a name is taken out, all are learnt anew.
func writeNames(maps *pins.Maps, names []dataplane.GardenName) error {
	want := make(map[bpf.HotspotNameKey]bool)
	for _, n := range names {
		want[bpf.NameToWire(n)] = true
	}
	had := bpf.KeysOf[bpf.HotspotNameKey](maps.GardenNames)
	if err := bpf.SyncSet(maps.GardenNames, want); err != nil {
		return fmt.Errorf("walled_garden: names: %w", err)
	}
	for key := range had {
		if !want[key] {
			return closeAddresses(maps.GardenAddrs)
		}
	}
	return nil
}

func closeAddresses(addrs *ebpf.Map) error {
	var keys []bpf.HotspotAddrKey
	err := bpf.Walk(addrs, 0, func(key bpf.HotspotAddrKey, _ *bpf.HotspotGardenAddr) { keys = append(keys, key) })
	if err != nil {
		return kernel.Explain("reading the addresses of the walled garden", err)
	}
	for _, key := range keys {
		if err := bpf.DeleteKey(addrs, key); err != nil {
			return kernel.Explain("closing an address of the walled garden", err)
		}
	}
	return nil
}

// Garden returns the walled garden as it is now, its addresses sorted.
func (g *gardenWatch) Garden() (dataplane.GardenStatus, error) {
	status := dataplane.GardenStatus{Garden: g.options, MaxAddresses: int(g.maps.GardenAddrs.MaxEntries())}
	var err error
	if status.Addresses, err = gardenAddresses(g.maps); err != nil {
		return status, err
	}
	slices.SortFunc(status.Addresses, func(a, b dataplane.GardenAddress) int { return a.Addr.Compare(b.Addr) })
	status.Counts, err = gardenCounts(g.maps)
	return status, err
}

// gardenAddresses returns the addresses that are open now.
func gardenAddresses(maps *pins.Maps) (list []dataplane.GardenAddress, err error) {
	now := time.Duration(kernel.BootNow())
	err = bpf.Walk(maps.GardenAddrs, 0, func(key bpf.HotspotAddrKey, a *bpf.HotspotGardenAddr) {
		left, since := time.Duration(a.UntilS)*time.Second-now, now-time.Duration(a.NamedS)*time.Second
		if left > 0 {
			list = append(list, dataplane.GardenAddress{Addr: netip.AddrFrom16(key.Addr).Unmap(), For: left, Last: since})
		}
	})
	if err != nil {
		return nil, kernel.Explain("reading the addresses of the walled garden", err)
	}
	return list, nil
}

func gardenCounts(maps *pins.Maps) (dataplane.GardenCounts, error) {
	var counts [bpf.HotspotGardenCountGARDEN_COUNTS]uint64
	for of := range counts {
		var perCPU []uint64
		if err := maps.GardenCounts.Lookup(uint32(of), &perCPU); err != nil {
			return dataplane.GardenCounts{}, kernel.Explain("reading the counts of the walled garden", err)
		}
		for _, n := range perCPU {
			counts[of] += n
		}
	}
	return dataplane.GardenCounts{
		Answers: counts[bpf.HotspotGardenCountGARDEN_ANSWERS], Addresses: counts[bpf.HotspotGardenCountGARDEN_ADDRESSES],
		Refused: counts[bpf.HotspotGardenCountGARDEN_REFUSED], Partial: counts[bpf.HotspotGardenCountGARDEN_PARTIAL],
	}, nil
}

// gardenWatch reads the walled garden, and reports addresses that have no room. It is part of
// the Dataplane, and as safe for concurrent use.
type gardenWatch struct {
	options dataplane.Garden
	maps    *pins.Maps
	state   *state
}

func (g *gardenWatch) watchGarden(closing <-chan struct{}) {
	ticker := time.NewTicker(gardenEvery)
	defer ticker.Stop()
	for {
		select {
		case <-closing:
			return
		case <-ticker.C:
			g.checkGarden()
		}
	}
}

// checkGarden comes before the table is quite full: the kernel closes the oldest addresses by then.
func (g *gardenWatch) checkGarden() {
	var found []dataplane.Problem
	open, err := gardenAddresses(g.maps)
	most := int(g.maps.GardenAddrs.MaxEntries())
	switch {
	case err != nil:
		found = []dataplane.Problem{{Code: dataplane.ChecksFailing, Detail: err.Error()}}
	case len(open) > most*9/10:
		found = []dataplane.Problem{{Code: dataplane.GardenFull, Detail: fmt.Sprintf(
			"the names in walled_garden have %d open addresses, and there is room for %d: those unused for longest are closed; name fewer, or narrower ones", len(open), most)}}
	}
	g.state.setProblems(byGarden, found...)
}
