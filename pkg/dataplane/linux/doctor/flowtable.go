// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
)

// From linux/netfilter/nf_tables.h; golang.org/x/sys/unix does not have all.
const (
	nftMsgGetFlowtable    = 23
	nftaFlowtableTable    = 1
	nftaFlowtableName     = 2
	nftaFlowtableHook     = 3
	nftaFlowtableFlags    = 7
	nftaFlowtableHookDevs = 3
	flowtableHardware     = 1 << 0
)

// flowtable is nft's set of connections that skip the forwarding path.
type flowtable struct {
	table, name string
	devices     []string
	hardware    bool
}

func (f flowtable) String() string {
	return fmt.Sprintf("flowtable %s of table %s (%s)", f.name, f.table, strings.Join(f.devices, ", "))
}

func listFlowtables(s *links.NetNS) ([]flowtable, error) {
	messages, err := nft.Dump(s, nftMsgGetFlowtable)
	if err != nil {
		return nil, err
	}
	var list []flowtable
	for _, m := range messages {
		f, err := parseFlowtable(m)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// parseFlowtable reads an nfgenmsg with the attributes of a flowtable.
func parseFlowtable(m []byte) (flowtable, error) {
	var f flowtable
	if len(m) < nl.SizeofNfgenmsg {
		return f, fmt.Errorf("flowtable of %d bytes", len(m))
	}
	err := links.EachAttribute(m[nl.SizeofNfgenmsg:], func(kind uint16, value []byte) (err error) {
		switch kind {
		case nftaFlowtableTable:
			f.table = unix.ByteSliceToString(value)
		case nftaFlowtableName:
			f.name = unix.ByteSliceToString(value)
		case nftaFlowtableHook:
			f.devices, err = parseFlowtableDevices(value)
		case nftaFlowtableFlags:
			f.hardware = len(value) >= 4 && binary.BigEndian.Uint32(value)&flowtableHardware != 0
		}
		return err
	})
	return f, err
}

func parseFlowtableDevices(hook []byte) ([]string, error) {
	var devices []string
	err := links.EachAttribute(hook, func(kind uint16, value []byte) error {
		if kind != nftaFlowtableHookDevs {
			return nil
		}
		return links.EachAttribute(value, func(_ uint16, name []byte) error {
			devices = append(devices, unix.ByteSliceToString(name))
			return nil
		})
	})
	return devices, err
}
