// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm is a timer that is set again and again. For one goroutine.
type alarm interface {
	// set makes it ring once, d from now; what was set before is forgotten. A ring
	// that was already on its way may still come.
	set(d time.Duration)
	rung() <-chan struct{}
	close()
}

// bootAlarm is a timerfd on CLOCK_BOOTTIME. Go's own timers stop while the machine
// sleeps and ring up to 1 ms late, for the runtime waits in whole milliseconds.
type bootAlarm struct {
	file *os.File // non-blocking: read through the runtime's poller
	raw  int
	ring chan struct{}
}

func newBootAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	a := &bootAlarm{file: os.NewFile(uintptr(fd), "timerfd"), raw: fd, ring: make(chan struct{}, 1)}
	go a.wait()
	return a, nil
}

// wait passes rings on until the file is closed.
func (a *bootAlarm) wait() {
	count := make([]byte, 8)
	for {
		_, err := a.file.Read(count)
		if err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		select {
		case a.ring <- struct{}{}:
		default: // one that was not yet received is enough
		}
	}
}

func (a *bootAlarm) set(d time.Duration) {
	// A zero would disarm it.
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(d.Nanoseconds(), 1))}
	if err := unix.TimerfdSettime(a.raw, 0, &spec, nil); err != nil {
		// EBADF or EINVAL: a descriptor or a time that is invalid, a bug here.
		panic(os.NewSyscallError("timerfd_settime", err))
	}
}

func (a *bootAlarm) rung() <-chan struct{} { return a.ring }
func (a *bootAlarm) close()                { _ = a.file.Close() }
