// SPDX-License-Identifier: Apache-2.0

package server

import "sync"

// quota hands out a number of places. Viewers have three quarters of them and one user
// among them an eighth, operators fifteen sixteenths and one user a half, and root has
// all. So lower roles cannot exhaust the places reserved for higher ones. Safe for concurrent use.
type quota struct {
	most int

	mu    sync.Mutex
	taken int
	byUID map[uint32]int // users that have some
}

func newQuota(most int) *quota { return &quota{most: most, byUID: map[uint32]int{}} }

// ceilings are how many places may be taken when a role takes one more, and how many
// of them by the same user.
func (q *quota) ceilings(r role) (all, same int) {
	switch r {
	case root:
		return q.most, q.most
	case operator:
		return q.most - q.most/16, q.most / 2
	default:
		return q.most - q.most/4, q.most / 8
	}
}

// take returns how to give the place back, or false when there is none for c.
func (q *quota) take(c caller) (release func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, same := q.ceilings(c.role)
	if q.taken >= all || q.byUID[c.UID] >= max(same, 1) {
		return nil, false
	}
	q.taken++
	q.byUID[c.UID]++
	return sync.OnceFunc(func() { q.free(c.UID) }), true
}

func (q *quota) free(uid uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken--
	if q.byUID[uid]--; q.byUID[uid] == 0 {
		delete(q.byUID, uid)
	}
}
