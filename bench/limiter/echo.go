// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	echoPort    = 7
	echoPayload = 64
	echoBeat    = 50 * time.Millisecond
	// Slower than this, an answer is of no use to a call or a game.
	echoPatience = time.Second

	idleEchoes = 25 // for long enough that a stall of the machine does not hit the middle one
	idleBeat   = 40 * time.Millisecond
)

// echoes are small packets of one flow that come back, at a steady beat.
type echoes struct {
	sent int
	took []time.Duration // of those that came back
}

// lost is the share that did not come back.
func (e echoes) lost() float64 { return 1 - float64(len(e.took))/float64(e.sent) }

// echo sends packets from the customer to the server's echo, from a start time, and
// waits for the answers.
func echo(ctx context.Context, k *lab.Kiosk, start time.Time, n int, beat time.Duration) (e echoes, err error) {
	conn, err := k.Customers[0].Dial(ctx, "udp", netip.AddrPortFrom(k.Server.Addr4, echoPort).String())
	if err != nil {
		return e, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(start.Add(time.Duration(n)*beat + echoPatience))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	answers := make(chan []time.Duration, 1)
	go func() { answers <- collect(conn, start, n) }()
	packet := make([]byte, echoPayload)
	for ; e.sent < n && ctx.Err() == nil; e.sent++ {
		time.Sleep(time.Until(start.Add(time.Duration(e.sent) * beat)))
		binary.BigEndian.PutUint64(packet, uint64(time.Since(start)))
		if _, err := conn.Write(packet); err != nil {
			return e, err
		}
	}
	e.took = <-answers
	return e, ctx.Err()
}

// collect reads answers until all are there or the connection's deadline.
func collect(conn net.Conn, start time.Time, n int) (took []time.Duration) {
	packet := make([]byte, echoPayload)
	for len(took) < n {
		size, err := conn.Read(packet)
		if err != nil {
			break
		}
		if size == len(packet) {
			sent := time.Duration(binary.BigEndian.Uint64(packet))
			if d := time.Since(start) - sent; d < echoPatience {
				took = append(took, d)
			}
		}
	}
	return took
}
