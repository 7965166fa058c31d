// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// What the kernel itself remembers of every device that sends a frame, paid or not: the agent's
// own tables have no room for strangers, but these have.

// neighborTables are the files that bound how many addresses the kernel keeps the MACs
// of, for all its namespaces together.
var neighborTables = []string{"/proc/sys/net/ipv4/neigh/default/gc_thresh3", "/proc/sys/net/ipv6/neigh/default/gc_thresh3"}

// checkNeighbors compares them to the clients that are to be served: when a table is
// full, a client whose address is not in it gets no packet.
func checkNeighbors(files []string, maxClients uint32) Finding {
	const check = "neighbour tables"
	for _, file := range files {
		room, err := numberIn(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // not visible in this namespace, or no IPv6
		}
		if err != nil {
			return Finding{check, Warn, "not readable: " + err.Error(), "cat " + file}
		}
		if room < 2*uint64(maxClients) {
			return Finding{check, Warn,
				fmt.Sprintf("%s is %d: with that many devices around, or made up by an attacker, clients lose packets (max_clients %d)", file, room, maxClients),
				fmt.Sprintf("raise gc_thresh3 of net.ipv4.neigh.default and net.ipv6.neigh.default to %d, and gc_thresh2 to %d", 4*maxClients, 2*maxClients)}
		}
	}
	return Finding{check, OK, fmt.Sprintf("room for %d clients and more", maxClients), ""}
}

// numberIn reads a file of /proc/sys.
func numberIn(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return number, nil
}

// The attributes of a bridge for how many MACs it has learned, and may learn.
const (
	iflaBridgeLearned   = 48 // IFLA_BR_FDB_N_LEARNED, Linux 6.8
	iflaBridgeLearnMost = 49 // IFLA_BR_FDB_MAX_LEARNED
)

// checkLearning judges how many MACs a bridge may learn: it keeps each that it sees for
// five minutes, and by default as many as an attacker makes up.
func checkLearning(s *links.NetNS, bridge netlink.Link) Finding {
	name := bridge.Attrs().Name
	check := "learning " + name
	var learned, most uint32
	var known bool
	err := s.Run(func() (err error) {
		learned, most, known, err = bridgeLearning(bridge.Attrs().Index)
		return err
	})
	switch {
	case err != nil:
		return Finding{check, Warn, "not readable: " + err.Error(), "see `ip -d link show " + name + "`"}
	case !known:
		return Finding{check, OK, "this kernel cannot bound how many MACs a bridge learns (6.8 can)", ""}
	case most == 0:
		return Finding{check, Warn, fmt.Sprintf("%d MACs, and as many as an attacker makes up: each takes memory of the kernel for five minutes", learned),
			"ip link set " + name + " type bridge fdb_max_learned 16384 (iproute2 6.8)"}
	}
	return Finding{check, OK, fmt.Sprintf("%d MACs of at most %d", learned, most), ""}
}

// bridgeLearning asks the kernel; known is false where it has no bound.
func bridgeLearning(index int) (learned, most uint32, known bool, err error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	request.AddData(header)
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return 0, 0, false, err
	}
	for _, answer := range answers {
		if learned, most, known, err = parseLearning(answer); err != nil || known {
			return learned, most, known, err
		}
	}
	return 0, 0, false, nil
}

// parseLearning reads an ifinfomsg with the attributes of a bridge.
func parseLearning(m []byte) (learned, most uint32, known bool, err error) {
	if len(m) < unix.SizeofIfInfomsg {
		return 0, 0, false, fmt.Errorf("link of %d bytes", len(m))
	}
	visit := func(kind uint16, value []byte) error {
		if len(value) < 4 {
			return nil
		}
		switch kind {
		case iflaBridgeLearned:
			learned = binary.NativeEndian.Uint32(value)
		case iflaBridgeLearnMost:
			most, known = binary.NativeEndian.Uint32(value), true
		}
		return nil
	}
	err = links.EachNested(m[unix.SizeofIfInfomsg:], []uint16{unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA}, visit)
	return learned, most, known, err
}
