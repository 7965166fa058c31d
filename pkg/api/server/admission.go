// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// admission accepts connections. It reads the caller's credentials, decides what it may
// do, once for the connection, and gives it a place. A connection without one is still
// answered, so that the answer says why; only when too many of those are answered
// already, it is closed at once. No caller waits behind them.
type admission struct {
	net.Listener

	roles  roles
	places *quota
	heard  *quota // of those without a place
}

// maxHeard is how many connections without a place are answered at a time.
const maxHeard = 64

func newAdmission(ln net.Listener, roles roles, places *quota) *admission {
	return &admission{Listener: ln, roles: roles, places: places, heard: newQuota(maxHeard)}
}

func (a *admission) Accept() (net.Conn, error) {
	for {
		accepted, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn, ok := a.admit(accepted); ok {
			return conn, nil
		}
		wire.CloseQuietly(accepted)
	}
}

func (a *admission) admit(accepted net.Conn) (*conn, bool) {
	caller := a.roles.callerOf(accepted)
	if caller.role != stranger {
		if leave, ok := a.places.take(caller); ok {
			return &conn{Conn: accepted, caller: caller, leave: leave}, true
		}
	}
	leave, ok := a.heard.take(caller)
	return &conn{Conn: accepted, caller: caller, leave: leave, noPlace: true}, ok
}

// conn is a connection that was accepted.
type conn struct {
	net.Conn

	caller  caller
	noPlace bool
	leave   func() // gives the place back; may be called twice
}

// refused returns why a connection has no place.
func (c *conn) refused() error {
	if !c.noPlace {
		return nil
	}
	if err := c.caller.mustBe(viewer, "every request"); err != nil {
		return err
	}
	return sessions.Errorf(sessions.Unavailable, "too many connections of uid %d, or of all together; try again later", c.caller.UID)
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

type connKey struct{}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request; in tests there may be none.
func connOf(ctx context.Context, roles roles) *conn {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c
	}
	return &conn{caller: caller{role: roles.others()}, leave: func() {}}
}
