// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"context"
	"crypto/rand"
	"reflect"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
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
	exact   map[purchase]time.Duration
	saving  map[purchase]chan struct{} // closed when the Save that runs is over
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

func (b *sourceBook) token(device int64, source SessionSource) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byToken == nil {
		b.byToken, b.tokens = map[string]*list.Element{}, map[ownedSource]string{}
	}
	owned := ownedSource{device, source}
	lasting := reflect.ValueOf(source).Comparable()
	if lasting {
		if token, ok := b.tokens[owned]; ok {
			b.used.MoveToFront(b.byToken[token])
			return token
		}
	}
	token := rand.Text()
	b.byToken[token] = b.used.PushFront(&knownSource{ownedSource: owned, token: token})
	if lasting {
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

func (b *sourceBook) purchase(token string, data sessions.SessionData) (purchase, bool) {
	known, ok := b.byToken[token]
	if !ok {
		return purchase{}, false
	}
	return purchase{known.Value.(*knownSource).device, data.Type, data.Created.UnixNano()}, true
}

// turn waits until no other Save of the purchase runs, and returns what ends this
// one's. A Save may outlast the agent's patience, and must not undo the one that the
// agent sent instead. What the agent gave up while it waited is not done at all.
func (b *sourceBook) turn(ctx context.Context, token string, data sessions.SessionData) (done func(), err error) {
	for {
		key, over := b.begin(token, data)
		if err := ctx.Err(); err != nil && over == nil {
			b.end(key)
			return nil, err
		}
		if over == nil {
			return func() { b.end(key) }, nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// begin returns nil when the turn is the caller's now, else what tells its end.
func (b *sourceBook) begin(token string, data sessions.SessionData) (key purchase, over chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, _ = b.purchase(token, data)
	if over := b.saving[key]; over != nil {
		return key, over
	}
	if b.saving == nil {
		b.saving = map[purchase]chan struct{}{}
	}
	b.saving[key] = make(chan struct{})
	return key, nil
}

func (b *sourceBook) end(key purchase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.saving[key])
	delete(b.saving, key)
}

// saved remembers the exact time used, of which [SessionData] has whole seconds:
// else every pause would give back the rest of one.
func (b *sourceBook) saved(token string, data sessions.SessionData) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.exact == nil || len(b.exact) >= maxSources {
		b.exact = map[purchase]time.Duration{}
	}
	if key, ok := b.purchase(token, data); ok {
		b.exact[key] = data.TimeUsed
	}
}

// refine puts the exact time used in place of the whole seconds that were saved.
func (b *sourceBook) refine(token string, data *sessions.SessionData) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, ok := b.purchase(token, *data)
	if used := b.exact[key]; ok && used.Truncate(time.Second) == data.TimeUsed {
		data.TimeUsed = used
	}
}
