// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"net"
	"os"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Access names the users of the socket, beside root and the agent's own user. Groups
// are names or numbers; an empty one has no members.
type Access struct {
	Operators string // socket_group: may read and write
	Viewers   string // viewer_group: may read
}

// role is what a peer may do. A higher one may do all that a lower one may.
type role int

const (
	stranger role = iota // may do nothing
	viewer               // may read
	operator             // may read and write
	root                 // as an operator, and has the last places
)

func (r role) String() string { return [...]string{"stranger", "viewer", "operator", "root"}[r] }

// caller is the process at the other end of a connection, and what it may do.
type caller struct {
	peer

	known bool // the kernel gave its credentials
	role  role
}

// roles decides what a peer may do.
type roles struct {
	self      uint32 // the agent's own user
	operators int    // group
	viewers   int    // group
}

// unknownGroup stands for a group that was not found: it has no members.
const unknownGroup = noGroup - 1

// rolesOf fails when a group does not exist; only root and the agent's own user have a
// role then.
func rolesOf(access Access) (roles, error) {
	self := uint32(os.Geteuid())
	operators, err := lookupGroup("socket_group", access.Operators)
	viewers, viewersErr := lookupGroup("viewer_group", access.Viewers)
	if err = errors.Join(err, viewersErr); err != nil {
		return roles{self: self, operators: unknownGroup, viewers: unknownGroup}, err
	}
	return roles{self: self, operators: operators, viewers: viewers}, nil
}

// callerOf reads a connection's credentials.
func (r roles) callerOf(conn net.Conn) caller {
	p, err := peerOf(conn)
	if err != nil {
		return caller{role: r.others()}
	}
	return caller{peer: p, known: true, role: r.of(p)}
}

func (r roles) of(p peer) role {
	switch {
	case p.UID == 0, p.UID == r.self:
		return root
	case p.in(r.operators):
		return operator
	case p.in(r.viewers):
		return viewer
	}
	return r.others()
}

// others is the role of every other user. Without a viewer_group the socket's mode
// keeps them out; after a chmod by hand they may read.
func (r roles) others() role {
	if r.viewers == noGroup {
		return viewer
	}
	return stranger
}

// in reports whether p is in a group.
func (p peer) in(gid int) bool {
	return gid >= 0 && (p.GID == uint32(gid) || slices.Contains(p.Groups, uint32(gid)))
}

// roleHint says how to get a role.
var roleHint = map[role]string{
	viewer:   "root, or a member of viewer_group or socket_group",
	operator: "root, or a member of socket_group",
}

// mustBe fails when a caller's role is less than need.
func (c caller) mustBe(need role, method string) error {
	switch {
	case c.role >= need:
		return nil
	case !c.known:
		return sessions.Errorf(sessions.Forbidden, "the credentials of the caller are not known: %s needs the role %s (%s)", method, need, roleHint[need])
	}
	return sessions.Errorf(sessions.Forbidden, "uid %d is a %s: %s needs the role %s (%s)", c.UID, c.role, method, need, roleHint[need])
}
