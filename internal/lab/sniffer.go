// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sniffer captures every frame that arrives at an interface of a host, whatever its
// content and destination, by a raw socket: it shares nothing with the code under test.
type Sniffer struct {
	fd      int
	heard   func(frame []byte)
	closing chan struct{}
	done    chan struct{}
	close   sync.Once
}

const snifferBuffer = 64 << 20

// Sniff captures frames at an interface. heard is called for one frame after another, and
// may use a frame until it returns.
func (h *Host) Sniff(device string, heard func(frame []byte)) (*Sniffer, error) {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	e := &Sniffer{fd: -1, heard: heard, closing: make(chan struct{}), done: make(chan struct{})}
	err = h.Do(func() (err error) {
		all := int(htons(unix.ETH_P_ALL))
		if e.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(int64(20 * time.Millisecond))
		if err = unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return err
		}
		if err = unix.SetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, snifferBuffer); err != nil {
			return err
		}
		promiscuous := &unix.PacketMreq{Ifindex: int32(link.Attrs().Index), Type: unix.PACKET_MR_PROMISC}
		if err = unix.SetsockoptPacketMreq(e.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, promiscuous); err != nil {
			return err
		}
		return unix.Bind(e.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: link.Attrs().Index})
	})
	if err != nil {
		if e.fd >= 0 {
			_ = unix.Close(e.fd)
		}
		return nil, fmt.Errorf("hear %s of %s: %w", device, h.Name, err)
	}
	go e.run()
	return e, nil
}

// htons is the protocol as the socket calls want it.
func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

func (e *Sniffer) run() {
	defer close(e.done)
	frame := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(e.fd, frame, 0)
		select {
		case <-e.closing:
			return
		default:
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if err == nil && ok && link.Pkttype != unix.PACKET_OUTGOING {
			e.heard(frame[:n])
		}
	}
}

// Close ends it. A second call does nothing.
func (e *Sniffer) Close() {
	e.close.Do(func() {
		close(e.closing)
		<-e.done
		_ = unix.Close(e.fd)
	})
}
