// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// FuzzGardenAnswer has the programs and another parser of DNS read the same messages: what
// both can read opens the same addresses. Whatever is in a message, no address opens that is
// not of the internet.
//
//	go test ./pkg/dataplane/linux -run '^$' -fuzz FuzzGardenAnswer -fuzztime 1m
func FuzzGardenAnswer(f *testing.F) {
	hints := &dnsmessage.HTTPSResource{}
	v4 := netip.MustParseAddr(named4).As4()
	hints.Priority, hints.Target, hints.Params = 1, dnsmessage.MustNewName("."), []dnsmessage.SVCParam{{Key: dnsmessage.SVCParamIPv4Hint, Value: v4[:]}}
	for _, m := range [][]byte{
		message(f, exactName, address(exactName, 900, named4), address(exactName, 0, named6)),
		message(f, "www."+suffixName, alias("www."+suffixName, "cdn.test"), address("cdn.test", 900, named4), address("cdn.test", 900, "10.1.2.3")),
		message(f, "www."+exactName, address("www."+exactName, 900, named4)),
		message(f, longLabel+".example", rr(exactName, 900, hints), address(exactName, 900, routerGarden4)),
	} {
		f.Add(m)
	}
	g := testGarden()
	b := newGardenTestbed(f, dataplane.Captive{}, g)
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) > 1200 {
			return
		}
		b := gardenTestbed{captiveTestbed{b.clean(t)}}
		b.hear(datagram(t, m), skBuff{})
		got := slices.Sorted(maps.Keys(b.open()))
		for _, a := range got {
			if addr := netip.MustParseAddr(a); !dataplane.GardenOpens(addr) || a == routerGarden4 {
				t.Fatalf("%x opened %s", m, a)
			}
		}
		want, readable := readAnswer(m, g)
		if readable && !slices.Equal(got, want) {
			t.Errorf("%x opened %v, want %v", m, got, want)
		}
	})
}

// readAnswer returns what an answer opens, sorted; false: the parser refuses the message.
func readAnswer(m []byte, g dataplane.Garden) (open []string, readable bool) {
	var p dnsmessage.Parser
	head, err := p.Start(m)
	if err != nil {
		return nil, false
	}
	if !head.Response || head.OpCode != 0 || head.RCode != 0 {
		return nil, true
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return nil, false
	}
	if len(questions) != 1 || questions[0].Class != dnsmessage.ClassINET || !named(m, questions[0].Name, g) {
		return nil, true
	}
	found := make(map[string]bool)
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return slices.Sorted(maps.Keys(found)), true
		}
		if err != nil {
			return nil, false
		}
		addrs, err := addressesOf(&p, h)
		if err != nil {
			return nil, false
		}
		for _, a := range addrs {
			if a = a.Unmap(); dataplane.GardenOpens(a) && a != netip.MustParseAddr(routerGarden4) {
				found[a.String()] = true
			}
		}
	}
}

// named reports whether a name in a question, which is written out in the message, is in the
// walled garden.
func named(m []byte, name dnsmessage.Name, g dataplane.Garden) bool {
	text := strings.TrimSuffix(name.String(), ".")
	var wire []byte
	for label := range strings.SplitSeq(text, ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	if text == "" || !bytes.HasPrefix(m[12:], append(wire, 0)) {
		return false
	}
	lower := []byte(text)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return slices.ContainsFunc(g.Names(), func(n dataplane.GardenName) bool { return n.Matches(dataplane.GardenName(lower)) })
}

// addressesOf reads a record.
func addressesOf(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (list []netip.Addr, err error) {
	switch {
	case h.Class != dnsmessage.ClassINET:
	case h.Type == dnsmessage.TypeA && h.Length == 4:
		r, err := p.AResource()
		return []netip.Addr{netip.AddrFrom4(r.A)}, err
	case h.Type == dnsmessage.TypeAAAA && h.Length == 16:
		r, err := p.AAAAResource()
		return []netip.Addr{netip.AddrFrom16(r.AAAA)}, err
	case h.Type == dnsmessage.TypeHTTPS:
		r, err := p.HTTPSResource()
		for _, param := range r.Params {
			size := map[dnsmessage.SVCParamKey]int{dnsmessage.SVCParamIPv4Hint: 4, dnsmessage.SVCParamIPv6Hint: 16}[param.Key]
			if size == 0 || len(param.Value)%size != 0 {
				continue
			}
			for addr := range slices.Chunk(param.Value, size) {
				a, _ := netip.AddrFromSlice(addr)
				list = append(list, a)
			}
		}
		return list, err
	}
	return nil, p.SkipAnswer()
}
