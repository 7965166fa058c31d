// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"fmt"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Generation is a random number that a database gets each time an agent opens it; it keeps
// those that it had. Ids and event numbers are counted in the database, so a copy of it
// that is put back gives some of them again. A number together with its generation is
// given once: what was counted, or remembered, under a generation that a database never
// had is of another history of it.
type Generation uint64

// String is 16 hexadecimal digits.
func (g Generation) String() string { return fmt.Sprintf("%016x", uint64(g)) }

// ParseGeneration reads what String wrote. Code Invalid.
func ParseGeneration(text string) (Generation, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 || n == 0 {
		return 0, Invalidf("generation", "%q is not a generation (16 hexadecimal digits)", Shorten(text))
	}
	return Generation(n), nil
}

// The bits of an account: the session's id, and above it some of the generation in which
// the id was given. An account of a trusted device has the highest bit.
const (
	idBits  = 40
	tagBits = 22
)

// Tag is the part of a generation that accounts carry.
func (g Generation) Tag() uint32 { return uint32(g) & (1<<tagBits - 1) }

// Account is the kernel's counter of the session. What the kernel counted for a session of
// the same id in another history of the database is another account's.
func (s Session) Account() dataplane.Account {
	return dataplane.Account(s.Tag)<<idBits | dataplane.Account(s.ID)
}

// SessionOf returns the session that an account may be of: it is, if the session's Account
// is the same.
func SessionOf(a dataplane.Account) SessionID {
	if IsTrusted(a) {
		return 0
	}
	return SessionID(a & (1<<idBits - 1))
}

// TagOf is the tag that an account carries.
func TagOf(a dataplane.Account) uint32 { return uint32(a>>idBits) & (1<<tagBits - 1) }

// IsTrusted reports whether an account is a trusted device's, not a session's.
func IsTrusted(a dataplane.Account) bool { return a>>63 != 0 }
