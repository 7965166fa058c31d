// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Lab is a set of hosts, each a network namespace. It is safe for concurrent use.
type Lab struct {
	name string

	mu      sync.Mutex
	hosts   []*Host
	closers []func() error
	closed  bool
}

// New makes an empty lab. Its name is the prefix with a random part, so that labs
// of several processes live side by side.
func New(prefix string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab of network namespaces needs root")
	}
	random := make([]byte, 3)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	l := &Lab{name: prefix + "-" + hex.EncodeToString(random)}
	if err := os.Mkdir(l.folder(), 0o755); err != nil {
		return nil, err
	}
	return l, nil
}

// folder holds a file for each namespace.
func (l *Lab) folder() string { return filepath.Join("/run", l.name) }

// Prefix is unique on the machine: a name for what belongs to the lab.
func (l *Lab) Prefix() string { return l.name }

// AddHost makes a namespace with nothing but its loopback interface.
func (l *Lab) AddHost(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	h, err := newHost(filepath.Join(l.folder(), name), name)
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// onClose has something done before the hosts are removed.
func (l *Lab) onClose(f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// Close removes the interfaces and the namespaces. A second call does nothing.
// Sockets and processes that the caller left inside keep their namespace alive,
// nameless and without links, until they end.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, f := range l.closers {
		errs = append(errs, f())
	}
	for _, h := range l.hosts {
		errs = append(errs, h.remove())
	}
	return errors.Join(append(errs, os.Remove(l.folder()))...)
}

func (h *Host) remove() error {
	links, err := h.nl.LinkList()
	if err == nil {
		for _, link := range links {
			if link.Type() == "veth" || link.Type() == "bridge" {
				// The other end of a pair may have taken this one along.
				_ = h.nl.LinkDel(link)
			}
		}
	}
	h.nl.Close()
	return errors.Join(h.ns.Close(), removeNamespace(h.path))
}
