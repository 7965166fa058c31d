// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// generatorBatch is how many frames a system call sends.
const generatorBatch = 64

// FrameGenerator sends frames as fast as one CPU can, like pktgen. That CPU also does the
// work of receiving each frame, up to the first queue, before it sends the next one.
type FrameGenerator struct {
	fd      int
	batches [][]mmsghdr
	next    int
	pinned  [][]byte // what the batches point into
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
	_      [4]byte
}

// GenerateFrames prepares to send frames round robin on a device of the host: each is one
// of the heads and the payload. The caller closes the generator.
func (h *Host) GenerateFrames(device string, heads [][]byte, payload []byte) (*FrameGenerator, error) {
	link, err := h.nl.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", device, h.Name, err)
	}
	s := &FrameGenerator{fd: -1, pinned: append(slices.Clone(heads), payload), batches: batchesOf(heads, payload)}
	err = h.Do(func() error {
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
			unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}),
		)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("frame generator on %s of %s: %w", device, h.Name, err), s.Close())
	}
	return s, nil
}

// batchesOf goes through the heads as often as it takes to fill every batch.
func batchesOf(heads [][]byte, payload []byte) [][]mmsghdr {
	rounds := 1
	for len(heads)*rounds%generatorBatch != 0 {
		rounds++
	}
	batches := make([][]mmsghdr, len(heads)*rounds/generatorBatch)
	at := 0
	for b := range batches {
		batches[b] = make([]mmsghdr, generatorBatch)
		for i := range batches[b] {
			head := heads[at%len(heads)]
			parts := []unix.Iovec{{Base: &head[0]}, {Base: &payload[0]}}
			parts[0].SetLen(len(head))
			parts[1].SetLen(len(payload))
			batches[b][i].header.Iov = &parts[0]
			batches[b][i].header.SetIovlen(len(parts))
			at++
		}
	}
	return batches
}

// Generated is the result of a run.
type Generated struct {
	Frames uint64
	CPU    time.Duration // of the sending thread, including the work of receiving the frames
	Wall   time.Duration
}

// Run sends for a duration, on the CPU of that number.
func (s *FrameGenerator) Run(cpu int, d time.Duration) (done Generated, err error) {
	err = onThrowawayThread(func() error {
		var only unix.CPUSet
		only.Set(cpu)
		if err := unix.SchedSetaffinity(0, &only); err != nil {
			return fmt.Errorf("run on CPU %d: %w", cpu, err)
		}
		raisePriority()
		started, used := readClock(unix.CLOCK_MONOTONIC), readClock(unix.CLOCK_THREAD_CPUTIME_ID)
		for {
			n, err := s.send()
			done.Frames += uint64(n)
			done.Wall = readClock(unix.CLOCK_MONOTONIC) - started
			if err != nil || done.Wall >= d {
				done.CPU = readClock(unix.CLOCK_THREAD_CPUTIME_ID) - used
				return err
			}
		}
	})
	return done, err
}

// send sends one batch. Frames that the device has no room for are lost.
func (s *FrameGenerator) send() (int, error) {
	batch := s.batches[s.next]
	s.next = (s.next + 1) % len(s.batches)
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&batch[0])), uintptr(len(batch)), 0, 0, 0)
	runtime.KeepAlive(s.pinned)
	switch errno {
	case 0:
		return int(n), nil
	case unix.ENOBUFS, unix.EINTR, unix.EAGAIN:
		return 0, nil
	default:
		return 0, fmt.Errorf("sendmmsg: %w", errno)
	}
}

// Close releases a generator that is not running.
func (s *FrameGenerator) Close() error {
	if s.fd < 0 {
		return nil
	}
	return unix.Close(s.fd)
}
