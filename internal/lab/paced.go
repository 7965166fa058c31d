// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pacingTick = 500 * time.Microsecond
	// pacingLag is the longest delay that is caught up with: a sender that was preempted
	// must not continue with a burst.
	pacingLag = 20 * time.Millisecond
)

// SendPaced sends frames past the host's own stack until ctx ends, perSecond of them, or
// fewer when the CPU has no time for more. Before each frame, change edits the one sent
// before it, in place; the first is the template. It returns how many were sent.
func (h *Host) SendPaced(ctx context.Context, device string, template []byte, perSecond int, change func(n uint64, frame []byte)) (sent uint64, err error) {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	err = h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
			return err
		}
		sent, err = sendPaced(ctx, fd, slices.Clone(template), float64(perSecond), change)
		return err
	})
	return sent, err
}

func sendPaced(ctx context.Context, fd int, frame []byte, perSecond float64, change func(uint64, []byte)) (sent uint64, err error) {
	tick := unix.NsecToTimespec(int64(pacingTick))
	due, last := 0.0, Boottime()
	for ; ctx.Err() == nil; _ = unix.Nanosleep(&tick, nil) {
		now := Boottime()
		due += min(now-last, pacingLag).Seconds() * perSecond
		for last = now; due >= 1; due-- {
			change(sent, frame)
			// A frame that the device has no room for is lost like any other.
			if _, err := unix.Write(fd, frame); err != nil && err != unix.ENOBUFS && err != unix.EINTR {
				return sent, fmt.Errorf("send a frame of %d bytes: %w", len(frame), err)
			}
			sent++
		}
	}
	return sent, nil
}
