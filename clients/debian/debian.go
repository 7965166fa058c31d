// SPDX-License-Identifier: Apache-2.0

// Package debian runs programs of a Debian root in hosts of a lab, as on machines of their
// own: with own processes, mounts and files, none of which remain.
package debian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// Machine is a running machine. It is safe for concurrent use.
type Machine struct {
	init  *exec.Cmd
	stdin io.Closer // init lives until this is closed, at the latest when this process ends
}

// boot mounts the root below a layer in memory. Without udev, a /sys that can be written to has
// network managers wait for it.
const boot = `set -e
root=$1
mount --make-rprivate /
mount -t tmpfs none /dev/shm
mkdir /dev/shm/upper /dev/shm/work
mount -t overlay -o lowerdir="$root",upperdir=/dev/shm/upper,workdir=/dev/shm/work none "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs none run
mount -t tmpfs none tmp
mkdir tmp/dev
for name in null zero full random urandom tty; do
	: >tmp/dev/$name
	mount --bind /dev/$name tmp/dev/$name
done
mkdir tmp/dev/shm tmp/dev/pts
ln -s /proc/self/fd tmp/dev/fd
ln -s pts/ptmx tmp/dev/ptmx
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts tmp/dev/pts
mount --rbind tmp/dev dev
exec chroot . /bin/sh -c 'mkdir -p -m 1777 /dev/shm /run/dbus; echo ready; exec cat >/dev/null'
`

// Boot starts a machine with a root folder in a host. The caller closes it.
func Boot(h *lab.Host, root string) (*Machine, error) {
	cmd := h.Command("sh", "-c", boot, "sh", root)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a Debian machine in %s: %w", h.Name, err)
	}
	m := &Machine{init: cmd, stdin: stdin}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_ = m.Close()
		return nil, fmt.Errorf("a Debian machine in %s did not start: %w: %s", h.Name, err, complaint.String())
	}
	return m, nil
}

// Close ends all programs of the machine, and its files are gone.
func (m *Machine) Close() error {
	err := errors.Join(m.stdin.Close(), m.init.Process.Kill())
	_ = m.init.Wait() // it was killed
	return err
}

// Command is exec.CommandContext inside the machine.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	target := strconv.Itoa(m.init.Process.Pid)
	enter := []string{"--target", target, "--net", "--mount", "--pid", "--uts", "--root", "--wd", "--",
		"/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.WaitDelay = time.Second // a program that was entered outlives nsenter, with its pipes
	// A Ctrl-C at the terminal is for the caller.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Run runs a program to its end, and returns what it printed. An error holds its complaint.
func (m *Machine) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := m.Command(ctx, name, args...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Write writes a file, and the folders above it.
func (m *Machine) Write(ctx context.Context, path, text string) error {
	cmd := m.Command(ctx, "sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write %s: %w: %s", path, err, out)
	}
	return nil
}

// Daemon is a program that is to run until its machine is closed.
type Daemon struct {
	ended chan struct{}
	log   *log
	name  string
}

// Start starts a daemon.
func (m *Machine) Start(name string, args ...string) (*Daemon, error) {
	d := &Daemon{ended: make(chan struct{}), log: &log{}, name: name}
	cmd := m.Command(context.Background(), name, args...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { defer close(d.ended); _ = cmd.Wait() }()
	return d, nil
}

// Log is the end of what the daemon printed.
func (d *Daemon) Log() string { return d.log.String() }

// Check returns an error when the daemon has ended.
func (d *Daemon) Check() error {
	select {
	case <-d.ended:
		return fmt.Errorf("%s ended: %s", d.name, d.Log())
	default:
		return nil
	}
}
