// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"sync"
)

// limitListener accepts at most cap(slots) connections at a time; more wait in the
// kernel's backlog until one closes.
type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func limitConnections(ln net.Listener, most int) net.Listener {
	return &limitListener{Listener: ln, slots: make(chan struct{}, most), done: make(chan struct{})}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// NetConn is the connection itself, for its credentials.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
