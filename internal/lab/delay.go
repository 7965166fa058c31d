// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// delayQueue is how many packets the kernel keeps for the line until it reads them.
	delayQueue = 16384
	// Super-packets pass the line whole, checksums not yet made: the header that
	// comes with each packet says what is left to do. Whether there are any is set
	// on the interfaces, like everywhere else.
	delayOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
)

// DelayLine is a long cable between two hosts: every packet arrives a fixed time
// after it was sent. Nothing is dropped or reordered, and there is no limit to its
// speed. A process of its own, with real-time priority, moves the packets between
// two TUN interfaces. Its methods belong to one goroutine.
type DelayLine struct {
	process *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
}

// DelayStats is how well a line kept its promise up to now.
type DelayStats struct {
	Packets uint64
	Dropped uint64        // there was no room, in the line or before it
	Failed  uint64        // the receiving interface refused them
	Late    time.Duration // on average, after the due time
	MaxLate time.Duration
}

// delayLine connects two hosts, each by an interface without addresses.
func delayLine(a *Host, nameA string, b *Host, nameB string, delay time.Duration) (line *DelayLine, err error) {
	var ends [2]*os.File
	defer func() {
		for _, end := range ends {
			_ = end.Close() // the process has its own
		}
	}()
	for i, end := range []struct {
		host *Host
		name string
	}{{a, nameA}, {b, nameB}} {
		if ends[i], err = end.host.tun(end.name); err != nil {
			return nil, fmt.Errorf("add %s to %s: %w", end.name, end.host.Name, err)
		}
	}
	line = &DelayLine{process: &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{delayProcess, delay.String()},
		Env:        append(os.Environ(), "GODEBUG=asyncpreemptoff=1"), // no signals between packets
		Stderr:     os.Stderr,
		ExtraFiles: ends[:],
		// A Ctrl-C at the terminal is for the caller, which closes the lab.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}}
	if line.ask, err = line.process.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := line.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	line.answers = bufio.NewReader(answers)
	if err := line.process.Start(); err != nil {
		return nil, err
	}
	_, err = line.Stats() // it answers: it is at work
	return line, err
}

// tun makes a TUN interface; packets come with a struct virtio_net_hdr before them.
func (h *Host) tun(name string) (file *os.File, err error) {
	err = h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		file = os.NewFile(uintptr(fd), name)
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, delayOffloads)
	})
	if err != nil {
		return file, err
	}
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return file, err
	}
	return file, h.nl.LinkSetTxQLen(link, delayQueue)
}

// Stats reads what the line did.
func (d *DelayLine) Stats() (s DelayStats, err error) {
	if _, err := d.ask.Write([]byte{'\n'}); err != nil {
		return s, fmt.Errorf("ask the delay line: %w", err)
	}
	answer, err := d.answers.ReadBytes('\n')
	if err != nil {
		return s, fmt.Errorf("the delay line does not answer: %w", err)
	}
	return s, json.Unmarshal(answer, &s)
}

func (d *DelayLine) close() error {
	return errors.Join(d.ask.Close(), d.process.Wait())
}

// DelayStats reads what the line between router and server did. What the kernel
// dropped before the line could read it counts as dropped by it.
func (k *Kiosk) DelayStats() (DelayStats, error) {
	s, err := k.delay.Stats()
	if err != nil {
		return s, err
	}
	for host, name := range map[*Host]string{k.Router: WAN, k.Server: Uplink} {
		link, err := host.nl.LinkByName(name)
		if err != nil {
			return s, err
		}
		s.Dropped += link.Attrs().Statistics.TxDropped
	}
	return s, nil
}

// delayed connects the server by a delay line instead of a cable.
func (k *Kiosk) delayed(delay time.Duration) (err error) {
	if k.delay, err = delayLine(k.Router, WAN, k.Server, Uplink, delay); err != nil {
		return fmt.Errorf("delay line: %w", err)
	}
	k.onClose(k.delay.close)
	return nil
}
