// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bulkPort  = 8080
	tcpFlows  = 4
	tcpPacket = 1500 // bytes that count as a packet
)

// tcp is bulk transfers of the one customer that is a host, in super-packets.
type tcp struct {
	router *router
	stop   func()
}

func newTCP(r *router) (traffic, error) {
	stop, err := r.kiosk.Server.ServeBulk(bulkPort)
	if err != nil {
		return nil, err
	}
	return &tcp{router: r, stop: stop}, nil
}

func (t *tcp) Close() error { t.stop(); return nil }

// run has the CPU time of this process, which is both ends and the way between.
func (t *tcp) run(d direction, during time.Duration) (flow, error) {
	downloads, uploads := map[direction]int{down: tcpFlows, both: tcpFlows / 2}[d], map[direction]int{up: tcpFlows, both: tcpFlows / 2}[d]
	to := netip.AddrPortFrom(netip.MustParseAddr(lab.Server4), bulkPort)
	before, err := processCPU()
	if err != nil {
		return flow{}, err
	}
	transfer, err := t.router.kiosk.Customers[0].Transfer(to, downloads, uploads)
	if err != nil {
		return flow{}, fmt.Errorf("%s: %w", t.router.subject, err)
	}
	time.Sleep(during)
	f := flow{forwarded: transfer.Bytes() / tcpPacket, wall: transfer.Elapsed()}
	transfer.Stop()
	after, err := processCPU()
	if err != nil {
		return flow{}, err
	}
	f.cpu = after - before
	return f.checked(t.router.subject, d)
}

// processCPU is the CPU time of this process, and of the kernel's work that it may
// have put off.
func processCPU() (time.Duration, error) {
	var used unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &used)
	deferred, deferredErr := deferredCPU()
	return time.Duration(used.Utime.Nano()+used.Stime.Nano()) + deferred, errors.Join(err, deferredErr)
}
