// SPDX-License-Identifier: Apache-2.0

// Package harness runs the real hotspot-agent binary in the router of a lab and drives it
// through its command line and its socket. It uses the public contract only.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	startTimeout = 60 * time.Second // an agent built with -race, on a busy machine
	stopTimeout  = 10 * time.Second
	callTimeout  = 15 * time.Second
	pollInterval = 10 * time.Millisecond
)

// Agent is a daemon in a kiosk's router. Its methods are safe for concurrent use,
// but Start, Kill, Stop and Close belong to one goroutine.
type Agent struct {
	binary string
	dir    string
	router *lab.Host

	log    *os.File
	daemon *exec.Cmd     // nil when not running
	ended  chan struct{} // closed when daemon ended
	close  sync.Once
}

// New prepares a daemon: a new folder under the system's temporary one holds its
// configuration, database, socket, log and pins. Extra lines go into the configuration;
// the client-facing interface is the bridge unless one of them says otherwise.
func New(k *lab.Kiosk, binary string, config ...string) (*Agent, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", k.Prefix()+"-")
	if err != nil {
		return nil, err
	}
	a := &Agent{binary: binary, dir: dir, router: k.Router}
	lines := append([]string{
		"state_dir: " + filepath.Join(dir, "state"),
		"socket: " + a.Socket(),
		"bpffs: " + a.bpffs(),
	}, config...)
	if !slices.ContainsFunc(config, func(line string) bool { return strings.HasPrefix(line, "interfaces:") }) {
		lines = append(lines, "interfaces: ["+lab.Bridge+"]")
	}
	err = os.WriteFile(a.Config(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	if err == nil {
		a.log, err = os.OpenFile(filepath.Join(dir, "agent.log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return a, nil
}

// Socket is the path of the daemon's socket.
func (a *Agent) Socket() string { return filepath.Join(a.dir, "agent.sock") }

// Config is the path of the daemon's configuration.
func (a *Agent) Config() string { return filepath.Join(a.dir, "config.yaml") }

// Database is the path of the daemon's database.
func (a *Agent) Database() string { return filepath.Join(a.dir, "state", "hotspot.db") }

// Dir is the folder with all files of the daemon.
func (a *Agent) Dir() string { return a.dir }

func (a *Agent) bpffs() string { return filepath.Join(a.dir, "bpf") }

// PID is the process of the daemon that was started last: nsenter becomes it.
func (a *Agent) PID() int { return a.daemon.Process.Pid }

// Log is the output of the daemons of this folder up to now.
func (a *Agent) Log() string {
	text, err := os.ReadFile(a.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// SetBinary sets the binary of the next Start and of all later commands.
func (a *Agent) SetBinary(binary string) { a.binary = binary }

// Start starts the daemon and waits until it answers.
func (a *Agent) Start() error {
	if err := a.Launch(); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		if _, err := a.Run("status"); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("the agent does not answer within %s: %w", startTimeout, err)
		}
		select {
		case <-a.ended:
			return fmt.Errorf("the agent ended: %s", lastLine(a.Log()))
		case <-time.After(pollInterval):
		}
	}
}

// Launch starts the daemon and does not wait for it.
func (a *Agent) Launch() error {
	cmd := a.router.Command(a.binary, "run", "--config", a.Config())
	cmd.Stdout, cmd.Stderr = a.log, a.log
	// A Ctrl-C at the terminal is for the caller, which stops the daemon.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	a.daemon, a.ended = cmd, ended
	return nil
}

// Ended is closed when the daemon that was started last has ended.
func (a *Agent) Ended() <-chan struct{} { return a.ended }

// RaisePriority gives the daemon priority over other programs: a lab has its customers and
// servers on the same CPUs, a router has not.
func (a *Agent) RaisePriority() error {
	const highest = -20
	return unix.Setpriority(unix.PRIO_PGRP, a.daemon.Process.Pid, highest) // its group has all its threads
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// Kill ends the daemon with SIGKILL, as a crash or a power cut of the process would.
func (a *Agent) Kill() error { return a.signal(syscall.SIGKILL) }

// Stop ends the daemon as a service manager does.
func (a *Agent) Stop() error { return a.signal(syscall.SIGTERM) }

func (a *Agent) signal(s syscall.Signal) error {
	if a.daemon == nil {
		return nil
	}
	defer func() { a.daemon = nil }()
	if err := a.daemon.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-a.ended:
		return nil
	case <-time.After(stopTimeout):
		_ = a.daemon.Process.Kill()
		<-a.ended
		return fmt.Errorf("the agent did not end within %s of %s", stopTimeout, s)
	}
}

// Close stops the daemon, removes its programs from the kernel and its folder from
// the disk. A second call does nothing.
func (a *Agent) Close() (err error) {
	a.close.Do(func() { err = a.remove() })
	return err
}

func (a *Agent) remove() error {
	stopped := a.signal(syscall.SIGTERM)
	if log := a.Log(); strings.Contains(log, "DATA RACE") { // of an agent with the race detector
		stopped = errors.Join(stopped, errors.New("the agent has a data race:\n"+log))
	}
	_, detached := a.Run("detach", "--config", a.Config())
	// The agent mounted it; absent when it never started.
	_ = unix.Unmount(a.bpffs(), unix.MNT_DETACH)
	return errors.Join(stopped, detached, a.log.Close(), os.RemoveAll(a.dir))
}

// Run calls the command line and returns what it printed. An error holds the
// command's stderr.
func (a *Agent) Run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return a.run(ctx, args)
}

func (a *Agent) run(ctx context.Context, args []string) (string, error) {
	cmd := a.router.Command(a.binary, append([]string{"--socket", a.Socket()}, args...)...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.Stdin = nil
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("hotspot-agent %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Follow starts a command that does not end, such as events, and returns its output.
// Close stops it.
func (a *Agent) Follow(args ...string) (io.ReadCloser, error) {
	cmd := a.router.Command(a.binary, append([]string{"--socket", a.Socket()}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &follower{Reader: out, cmd: cmd}, nil
}

type follower struct {
	io.Reader
	cmd *exec.Cmd
}

func (f *follower) Close() error {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
	return nil
}
