// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"context"
	"crypto/rand"
	"reflect"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxSources is how many sources a provider's process remembers; beyond, the one
// not asked for longest is forgotten, and the agent asks for the session again.
const maxSources = 10_000

// sourceRegistry gives sources their tokens, and finds them by it. A source that is
// given again for the same device keeps its token.
type sourceRegistry struct {
	mu      sync.Mutex
	byToken map[string]*list.Element
	tokens  map[ownedSource]string // of sources that can be compared
	used    list.List              // of *knownSource, the latest first
	exact   map[purchase]time.Duration
	saving  keylock.Locks[purchase] // one Save at a time
}

// purchase is what makes two sources the same to the agent.
type purchase struct {
	device  int64
	kind    sessions.Type
	created int64 // Unix ns
}

type ownedSource struct {
	device int64
	source SessionSource
}

type knownSource struct {
	ownedSource
	token string
}

func (r *sourceRegistry) token(device int64, source SessionSource) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byToken == nil {
		r.byToken, r.tokens = map[string]*list.Element{}, map[ownedSource]string{}
	}
	owned := ownedSource{device, source}
	lasting := reflect.ValueOf(source).Comparable()
	if lasting {
		if token, ok := r.tokens[owned]; ok {
			r.used.MoveToFront(r.byToken[token])
			return token
		}
	}
	token := rand.Text()
	r.byToken[token] = r.used.PushFront(&knownSource{ownedSource: owned, token: token})
	if lasting {
		r.tokens[owned] = token
	}
	if r.used.Len() > maxSources {
		r.forget(r.used.Back())
	}
	return token
}

func (r *sourceRegistry) forget(oldest *list.Element) {
	known := r.used.Remove(oldest).(*knownSource)
	delete(r.byToken, known.token)
	if reflect.ValueOf(known.source).Comparable() {
		delete(r.tokens, known.ownedSource)
	}
}

func (r *sourceRegistry) find(token string) (SessionSource, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.byToken[token]
	if !ok {
		return nil, false
	}
	r.used.MoveToFront(known)
	return known.Value.(*knownSource).source, true
}

func (r *sourceRegistry) purchase(token string, data sessions.SessionData) (purchase, bool) {
	known, ok := r.byToken[token]
	if !ok {
		return purchase{}, false
	}
	return purchase{known.Value.(*knownSource).device, data.Type, data.Created.UnixNano()}, true
}

// lock waits until no other Save of the purchase runs, and returns what releases it. A
// Save may outlast the agent's time-out, and must not undo the one that the agent sent
// instead. One whose request ended while it waited is not done at all.
func (r *sourceRegistry) lock(ctx context.Context, token string, data sessions.SessionData) (unlock func(), err error) {
	r.mu.Lock()
	key, _ := r.purchase(token, data)
	r.mu.Unlock()
	return r.saving.LockContext(ctx, key)
}

// saved remembers the exact time used, of which [SessionData] has whole seconds:
// else every pause would give back the rest of one.
func (r *sourceRegistry) saved(token string, data sessions.SessionData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exact == nil || len(r.exact) >= maxSources {
		r.exact = map[purchase]time.Duration{}
	}
	if key, ok := r.purchase(token, data); ok {
		r.exact[key] = data.TimeUsed
	}
}

// restorePrecision puts the exact time used in place of the whole seconds that were saved.
func (r *sourceRegistry) restorePrecision(token string, data *sessions.SessionData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, ok := r.purchase(token, *data)
	if used := r.exact[key]; ok && used.Truncate(time.Second) == data.TimeUsed {
		data.TimeUsed = used
	}
}
