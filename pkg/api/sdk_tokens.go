// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"crypto/rand"
	"reflect"
	"sync"
	"time"
)

// maxSources is how many sources a provider's process remembers; beyond, the one
// not asked for longest is forgotten, and the agent asks for the session again.
const maxSources = 10_000

// sourceBook gives sources their tokens, and finds them by it. A source that is
// given again for the same device keeps its token.
type sourceBook struct {
	mu      sync.Mutex
	byToken map[string]*list.Element
	tokens  map[ownedSource]string // of sources that can be compared
	used    list.List              // of *knownSource, the latest first
}

type ownedSource struct {
	device int64
	source SessionSource
}

type knownSource struct {
	ownedSource
	token string
	used  time.Duration // as saved last; [SessionData] has whole seconds only
}

func (b *sourceBook) token(device int64, source SessionSource) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byToken == nil {
		b.byToken, b.tokens = map[string]*list.Element{}, map[ownedSource]string{}
	}
	owned := ownedSource{device, source}
	comparable := reflect.ValueOf(source).Comparable()
	if comparable {
		if token, ok := b.tokens[owned]; ok {
			b.used.MoveToFront(b.byToken[token])
			return token
		}
	}
	token := rand.Text()
	b.byToken[token] = b.used.PushFront(&knownSource{ownedSource: owned, token: token})
	if comparable {
		b.tokens[owned] = token
	}
	if b.used.Len() > maxSources {
		b.forget(b.used.Back())
	}
	return token
}

func (b *sourceBook) forget(oldest *list.Element) {
	known := b.used.Remove(oldest).(*knownSource)
	delete(b.byToken, known.token)
	if reflect.ValueOf(known.source).Comparable() {
		delete(b.tokens, known.ownedSource)
	}
}

func (b *sourceBook) find(token string) (SessionSource, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.byToken[token]
	if !ok {
		return nil, false
	}
	b.used.MoveToFront(known)
	return known.Value.(*knownSource).source, true
}

// saved remembers the exact time used, of which the source keeps whole seconds:
// else every pause would give back the rest of a second.
func (b *sourceBook) saved(token string, used time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.byToken[token]; ok {
		known.Value.(*knownSource).used = used
	}
}

// exact returns the time used as it was saved, if that is what the source tells.
func (b *sourceBook) exact(token string, told time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.byToken[token]; ok {
		if used := known.Value.(*knownSource).used; used.Truncate(time.Second) == told {
			return used
		}
	}
	return told
}
