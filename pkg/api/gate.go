// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// gate lets connections in. It reads who is calling, decides what they may do, once
// for the connection, and gives it a place. Who gets none is still heard, so that the
// answer says why; only when too many of those are heard already, a connection is
// closed at once. Nobody waits in line behind them.
type gate struct {
	net.Listener

	roles  roles
	places *quota
	heard  *quota // of those without a place
}

// maxHeard is how many connections without a place are answered at a time.
const maxHeard = 64

func newGate(ln net.Listener, roles roles, places *quota) *gate {
	return &gate{Listener: ln, roles: roles, places: places, heard: newQuota(maxHeard)}
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if guest, ok := g.admit(conn); ok {
			return guest, nil
		}
		closeQuietly(conn)
	}
}

func (g *gate) admit(conn net.Conn) (*guest, bool) {
	who := g.roles.callerOf(conn)
	if who.role != stranger {
		if leave, ok := g.places.take(who); ok {
			return &guest{Conn: conn, caller: who, leave: leave}, true
		}
	}
	leave, ok := g.heard.take(who)
	return &guest{Conn: conn, caller: who, leave: leave, noPlace: true}, ok
}

// guest is a connection that was let in.
type guest struct {
	net.Conn

	caller  caller
	noPlace bool
	leave   func() // gives the place back; may be called twice
}

// turnedAway says why a connection has no place.
func (g *guest) turnedAway() error {
	if !g.noPlace {
		return nil
	}
	if err := g.caller.mustBe(viewer, "every request"); err != nil {
		return err
	}
	return sessions.Errorf(sessions.Unavailable, "too many connections of uid %d, or of all together; try again in a moment", g.caller.UID)
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

type guestKey struct{}

// withGuest is http.Server.ConnContext.
func withGuest(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// guestOf returns the connection of a request.
func (s *Server) guestOf(ctx context.Context) *guest {
	if g, ok := ctx.Value(guestKey{}).(*guest); ok {
		return g
	}
	return &guest{caller: caller{role: s.roles.others()}, leave: func() {}}
}
