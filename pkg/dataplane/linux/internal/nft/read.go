// SPDX-License-Identifier: Apache-2.0

// Package nft reads the firewall of a network namespace from nf_tables, by the messages of
// linux/netfilter/nf_tables.h, and says what it does with a packet. It changes nothing. What
// iptables-nft made is in it; the tables of the older iptables-legacy are not.
//
// github.com/google/nftables leaves out expressions that it does not know, so that a rule
// with one seems to match everything. Here such a rule may match, or not.
package nft

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// The kinds of messages, and attributes of them.
const (
	getTable      = 1
	getChain      = 4
	getRule       = 7
	getSetElement = 13
	getGeneration = 16

	tableName, tableFlags                                    = 1, 2
	chainTable, chainName, chainHook, chainPolicy, chainType = 1, 3, 4, 5, 7
	hookNumber                                               = 1
	ruleTable, ruleChain, ruleExpressions                    = 1, 2, 4
	listElement                                              = 1
	expressionName, expressionData                           = 1, 2
	elementTable, elementSet, elementList                    = 1, 2, 3
	elementKey, elementData, elementFlags                    = 1, 2, 3
	dataValue, dataVerdict                                   = 1, 2
	verdictCode, verdictChain                                = 1, 2
	generationID                                             = 1
	tableDormant                                             = 1
	intervalEnd                                              = 1
)

// The hooks and families that matter here.
const (
	Forward     = 2 // NF_INET_FORWARD
	familyInet  = 1 // NFPROTO_INET: IPv4 and IPv6
	FamilyIPv4  = 2 // NFPROTO_IPV4
	FamilyIPv6  = 10
	noHook      = -1
	policyDrop  = 0
	policyTaken = 1 // accept
)

// Ruleset is the firewall at one time.
type Ruleset struct {
	chains   map[chainKey]*chain
	elements func(set setKey) ([]element, error)
}

type chainKey struct {
	family      uint8
	table, name string
}

type setKey = chainKey

type chain struct {
	chainKey
	kind   string // filter, nat, route
	hook   int    // noHook: it is jumped to
	policy uint32
	rules  []rule
}

type rule []expression

type expression struct {
	name string
	data map[uint16][]byte
}

// element is one of a set; of a map it has data.
type element struct {
	key, verdict []byte
	interval     bool
}

// Generation identifies the ruleset: any change of it makes another. 0: there are no
// nf_tables.
func Generation(s *links.NetNS) (id uint32, err error) {
	answers, err := ask(s, getGeneration, 0, unix.AF_UNSPEC)
	for _, m := range answers {
		err = errors.Join(err, links.EachAttribute(m.attributes, func(kind uint16, value []byte) error {
			if kind == generationID && len(value) >= 4 {
				id = binary.BigEndian.Uint32(value)
			}
			return nil
		}))
	}
	return id, err
}

// Read reads tables, chains and rules. Elements of sets are read when a packet meets them.
func Read(s *links.NetNS) (*Ruleset, error) {
	r := &Ruleset{chains: map[chainKey]*chain{}, elements: func(set setKey) ([]element, error) { return readElements(s, set) }}
	for _, part := range []struct {
		kind int
		add  func(family uint8, attributes []byte) error
	}{{getChain, r.addChain}, {getRule, r.addRule}, {getTable, r.dropDormant}} {
		answers, err := ask(s, part.kind, unix.NLM_F_DUMP, unix.AF_UNSPEC)
		if err != nil {
			return nil, err
		}
		for _, m := range answers {
			if err := part.add(m.family, m.attributes); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// message is an answer of the kernel.
type message struct {
	family     uint8
	attributes []byte
}

// ask sends a request, and returns what the kernel answers.
func ask(s *links.NetNS, kind, flags int, family uint8, attributes ...*nl.RtAttr) (list []message, err error) {
	raw, err := request(s, kind, flags, family, attributes)
	for _, m := range raw {
		if len(m) >= nl.SizeofNfgenmsg {
			list = append(list, message{m[0], m[nl.SizeofNfgenmsg:]})
		}
	}
	return list, err
}

// Dump returns the kernel's objects of a kind, each as an nfgenmsg with attributes.
func Dump(s *links.NetNS, kind int) ([][]byte, error) {
	return request(s, kind, unix.NLM_F_DUMP, unix.AF_UNSPEC, nil)
}

// request asks the kernel, so that nft need not be installed. A kernel without nf_tables
// has no rules.
func request(s *links.NetNS, kind, flags int, family uint8, attributes []*nl.RtAttr) (raw [][]byte, err error) {
	err = s.Run(func() (err error) {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: unix.NFNETLINK_V0})
		for _, a := range attributes {
			req.AddData(a)
		}
		raw, err = req.Execute(unix.NETLINK_NETFILTER, 0)
		return err
	})
	for _, absent := range []error{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, absent) {
			return nil, nil
		}
	}
	return raw, err
}

func readElements(s *links.NetNS, set setKey) (list []element, err error) {
	answers, err := ask(s, getSetElement, unix.NLM_F_DUMP, set.family,
		nl.NewRtAttr(elementTable, nl.ZeroTerminated(set.table)), nl.NewRtAttr(elementSet, nl.ZeroTerminated(set.name)))
	if err != nil {
		return nil, err
	}
	for _, m := range answers {
		some, err := parseElements(m.attributes)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}
