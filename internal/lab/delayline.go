// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// delayProcess is the name under which a program of the lab starts itself anew
	// to be a delay line.
	delayProcess = "lab-delay-line"
	delayFirstFD = 3 // of the two interfaces

	delayPriority = 50
	delayBytes    = 32 << 20 // each way
	delayPackets  = 1 << 15  // each way
	delayBatch    = 64       // packets moved before the other way gets its turn
	maxPacket     = 66 << 10 // a super-packet and what comes before it
)

func init() {
	if os.Args[0] != delayProcess {
		return
	}
	if err := beDelayLine(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, delayProcess+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// beDelayLine moves packets until its standard input is closed. It never collects
// garbage, and makes next to none.
func beDelayLine(args []string) error {
	if len(args) != 1 {
		return errors.New("want one argument, the delay")
	}
	delay, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	realTime(delayPriority)
	l := &line{start: time.Now(), delay: delay}
	for i := range l.ways {
		from, to := delayFirstFD+i, delayFirstFD+1-i
		if err := unix.SetNonblock(from, true); err != nil {
			return err
		}
		l.ways[i] = way{from: from, to: to, packets: newRing(delayBytes, delayPackets)}
	}
	return l.run()
}

// line is a delay line at work.
type line struct {
	start time.Time
	delay time.Duration
	ways  [2]way
	stats DelayStats
	late  time.Duration // in sum
	waste [maxPacket]byte
}

// way is one direction.
type way struct {
	from, to int // file descriptors
	packets  *ring
}

func (l *line) now() time.Duration { return time.Since(l.start) }

func (l *line) run() error {
	fds := []unix.PollFd{{Fd: 0}, {Fd: int32(l.ways[0].from)}, {Fd: int32(l.ways[1].from)}}
	for i := range fds {
		fds[i].Events = unix.POLLIN
	}
	for {
		wait := l.untilNext()
		if _, err := unix.Ppoll(fds, wait, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("ppoll: %w", err)
		}
		for i := range l.ways {
			l.deliver(&l.ways[i])
			if err := l.receive(&l.ways[i]); err != nil {
				return err
			}
		}
		if fds[0].Revents != 0 {
			if more, err := l.answer(); !more || err != nil {
				return err
			}
		}
	}
}

// untilNext is the time until a packet is due; nil where there is none.
func (l *line) untilNext() *unix.Timespec {
	var wait *unix.Timespec
	now := l.now()
	for i := range l.ways {
		if first := l.ways[i].packets.oldest(); first != nil {
			t := unix.NsecToTimespec(int64(max(0, first.due-now)))
			if wait == nil || t.Nano() < wait.Nano() {
				wait = &t
			}
		}
	}
	return wait
}

// receive takes what came in.
func (l *line) receive(w *way) error {
	for range delayBatch {
		room := w.packets.room()
		full := room == nil
		if full {
			room = l.waste[:]
		}
		n, err := unix.Read(w.from, room)
		switch err {
		case nil:
		case unix.EAGAIN, unix.EINTR:
			return nil
		default:
			return fmt.Errorf("read: %w", err)
		}
		if full {
			l.stats.Dropped++
			continue
		}
		l.stats.Packets++
		w.packets.add(n, l.now()+l.delay)
	}
	return nil
}

// deliver passes on what is due.
func (l *line) deliver(w *way) {
	for range delayBatch {
		first := w.packets.oldest()
		if first == nil {
			return
		}
		late := l.now() - first.due
		if late < 0 {
			return
		}
		l.late += late
		l.stats.MaxLate = max(l.stats.MaxLate, late)
		// EIO is an interface that is not up yet: it takes nothing from a cable either.
		if _, err := unix.Write(w.to, w.packets.bytes(first)); err != nil && err != unix.EIO {
			l.stats.Failed++
		}
		w.packets.remove()
	}
}

// answer writes the figures on request, and reports whether more requests can come.
func (l *line) answer() (more bool, err error) {
	question := make([]byte, 1)
	if n, _ := unix.Read(0, question); n <= 0 {
		return false, nil // the other end is gone
	}
	s := l.stats
	if s.Packets > 0 {
		s.Late = l.late / time.Duration(s.Packets)
	}
	return true, json.NewEncoder(os.Stdout).Encode(s)
}
