// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/vishvananda/netns"
)

// Lab is a set of hosts, each a named network namespace. It is safe for
// concurrent use.
type Lab struct {
	prefix string

	mu     sync.Mutex
	hosts  []*Host
	closed bool
}

// New makes an empty lab. The names of its namespaces start with the prefix and a
// random part, so that labs of several processes live side by side.
func New(prefix string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab of network namespaces needs root")
	}
	random := make([]byte, 3)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return &Lab{prefix: prefix + "-" + hex.EncodeToString(random)}, nil
}

// Prefix is what the names of the lab's namespaces start with; unique on the machine.
func (l *Lab) Prefix() string { return l.prefix }

// AddHost makes a namespace with nothing but its loopback interface.
func (l *Lab) AddHost(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	h, err := newHost(l.prefix+"-"+name, name)
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// Close removes the interfaces and the namespaces. A second call does nothing.
// Sockets and processes that the caller left inside keep their namespace alive,
// nameless and without links, until they end.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.remove())
	}
	l.hosts = nil
	return errors.Join(errs...)
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
	return errors.Join(h.ns.Close(), netns.DeleteNamed(h.nsName))
}
