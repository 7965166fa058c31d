// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// pool lends connections, which it opens when they are needed. Safe for concurrent use.
type pool struct {
	dsn    string
	pragma string          // sent to each connection that is opened; "": none
	slots  chan *conn.Conn // as many as there may be; nil: not open
	ended  chan struct{}   // closed by close

	idle  time.Duration // for which an unused connection stays open; 0: for ever
	timer *time.Timer
	once  sync.Once
}

var errClosed = errors.New("it is closed")

func newPool(dsn string, size int, idle time.Duration) *pool {
	p := &pool{dsn: dsn, slots: make(chan *conn.Conn, size), ended: make(chan struct{}), idle: idle}
	for range size {
		p.slots <- nil
	}
	if idle > 0 {
		p.timer = time.AfterFunc(idle, p.closeIdle)
	}
	return p
}

// acquire waits for a connection until ctx ends.
func (p *pool) acquire(ctx context.Context) (*conn.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-p.slots:
		return p.opened(c)
	case <-p.ended:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tryAcquire returns nil when none is free.
func (p *pool) tryAcquire() (*conn.Conn, error) {
	select {
	case c := <-p.slots:
		return p.opened(c)
	default:
		return nil, nil
	}
}

// opened opens the connection of a slot that has none.
func (p *pool) opened(c *conn.Conn) (*conn.Conn, error) {
	if c != nil {
		return c, nil
	}
	c, err := p.connect()
	if err != nil {
		p.slots <- nil
	}
	return c, err
}

func (p *pool) connect() (*conn.Conn, error) {
	c, err := conn.Open(p.dsn)
	if err != nil || p.pragma == "" {
		return c, err
	}
	if err := c.Query(p.pragma, func(*conn.Row) error { return nil }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// release takes a connection back; one that is not usable is closed.
func (p *pool) release(c *conn.Conn, usable bool) {
	if !usable {
		_ = c.Close() // whatever is wrong with it
		c = nil
	}
	p.slots <- c
	if p.timer != nil {
		p.timer.Reset(p.idle)
	}
}

// closeIdle closes the connections that are idle: their page caches are memory.
func (p *pool) closeIdle() {
	for range cap(p.slots) {
		select {
		case c := <-p.slots:
			if c != nil {
				_ = c.Close() // it wrote nothing
			}
			p.slots <- nil
		default:
			return
		}
	}
}

// close waits for the connections that are in use.
func (p *pool) close() (err error) {
	p.once.Do(func() {
		close(p.ended)
		if p.timer != nil {
			p.timer.Stop()
		}
		for range cap(p.slots) {
			if c := <-p.slots; c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	})
	return err
}
