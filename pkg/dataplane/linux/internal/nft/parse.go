// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

func (r *Ruleset) addChain(family uint8, attributes []byte) error {
	c := &chain{chainKey: chainKey{family: family}, hook: noHook, policy: policyTaken}
	err := links.EachAttribute(attributes, func(kind uint16, value []byte) error {
		switch kind {
		case chainTable:
			c.table = unix.ByteSliceToString(value)
		case chainName:
			c.name = unix.ByteSliceToString(value)
		case chainType:
			c.kind = unix.ByteSliceToString(value)
		case chainPolicy:
			c.policy = number(value)
		case chainHook:
			return links.EachAttribute(value, func(kind uint16, value []byte) error {
				if kind == hookNumber {
					c.hook = int(number(value))
				}
				return nil
			})
		}
		return nil
	})
	r.chains[c.chainKey] = c
	return err
}

func (r *Ruleset) addRule(family uint8, attributes []byte) error {
	at := chainKey{family: family}
	var list rule
	err := links.EachAttribute(attributes, func(kind uint16, value []byte) error {
		switch kind {
		case ruleTable:
			at.table = unix.ByteSliceToString(value)
		case ruleChain:
			at.name = unix.ByteSliceToString(value)
		case ruleExpressions:
			return links.EachAttribute(value, func(_ uint16, value []byte) error {
				e, err := parseExpression(value)
				list = append(list, e)
				return err
			})
		}
		return nil
	})
	if c := r.chains[at]; c != nil {
		c.rules = append(c.rules, list)
	}
	return err
}

// dropDormant removes the chains of a table that is switched off.
func (r *Ruleset) dropDormant(family uint8, attributes []byte) error {
	var name string
	var flags uint32
	err := links.EachAttribute(attributes, func(kind uint16, value []byte) error {
		switch kind {
		case tableName:
			name = unix.ByteSliceToString(value)
		case tableFlags:
			flags = number(value)
		}
		return nil
	})
	if flags&tableDormant != 0 {
		for key := range r.chains {
			if key.family == family && key.table == name {
				delete(r.chains, key)
			}
		}
	}
	return err
}

func parseExpression(value []byte) (e expression, err error) {
	err = links.EachAttribute(value, func(kind uint16, value []byte) (err error) {
		switch kind {
		case expressionName:
			e.name = unix.ByteSliceToString(value)
		case expressionData:
			e.data, err = attributesOf(value)
		}
		return err
	})
	return e, err
}

func attributesOf(value []byte) (map[uint16][]byte, error) {
	all := make(map[uint16][]byte)
	err := links.EachAttribute(value, func(kind uint16, value []byte) error {
		all[kind] = value
		return nil
	})
	return all, err
}

func parseElements(attributes []byte) (list []element, err error) {
	err = links.EachAttribute(attributes, func(kind uint16, value []byte) error {
		if kind != elementList {
			return nil
		}
		return links.EachAttribute(value, func(_ uint16, value []byte) error {
			parts, err := attributesOf(value)
			if err != nil {
				return err
			}
			e := element{interval: number(parts[elementFlags])&intervalEnd != 0}
			if e.key, err = nested(parts[elementKey], dataValue); err == nil {
				e.verdict, err = nested(parts[elementData], dataVerdict)
			}
			list = append(list, e)
			return err
		})
	})
	return list, err
}

// nested is one attribute of a nested one, nil for none.
func nested(value []byte, kind uint16) ([]byte, error) {
	all, err := attributesOf(value)
	return all[kind], err
}

// number is a value in network order; 0 for one that is absent.
func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}
