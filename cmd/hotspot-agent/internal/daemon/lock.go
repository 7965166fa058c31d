// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const lockFile = "lock"

// stateLock keeps a second agent, on another socket, from the same database.
type stateLock struct{ file *os.File }

// lockState locks a state folder, made when it is missing. The kernel
// drops the lock when the process ends, however it ends.
func lockState(dir string) (*stateLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		holder, _ := io.ReadAll(io.LimitReader(file, 20)) // of an older agent it is empty
		_ = file.Close()
		return nil, &InUseError{Dir: dir, PID: strings.TrimSpace(string(holder))}
	case err != nil:
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	lock := &stateLock{file}
	if err := lock.sign(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	return lock, nil
}

// InUseError is that another process has a state folder.
type InUseError struct{ Dir, PID string }

func (e *InUseError) Error() string {
	if e.PID == "" {
		return fmt.Sprintf("state_dir %s is in use by a running agent", e.Dir)
	}
	return fmt.Sprintf("state_dir %s is in use by a running agent (pid %s)", e.Dir, e.PID)
}

// sign writes the holder's pid, for the message of the one that comes second. On a full
// disk the lock holds all the same.
func (l *stateLock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(l.file, os.Getpid())
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

// release leaves the file: removing it would race with an agent that opens it.
func (l *stateLock) release() error { return l.file.Close() }

// HoldsState reports whether a running agent holds the state folder.
func HoldsState(dir string) bool {
	file, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false // no folder, no agent
	}
	defer func() { _ = file.Close() }()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
