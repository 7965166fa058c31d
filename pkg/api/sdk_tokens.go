// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"crypto/rand"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// maxSources is how many sources a provider's process remembers; beyond, the one
// not asked for longest is forgotten.
const maxSources = 10_000

// sourceBook gives sources their tokens and finds them by it. The token of a source
// with a key is made of the device and the key, so that it outlives the process;
// others have a random one.
type sourceBook struct {
	mu      sync.Mutex
	byToken map[string]*list.Element
	tokens  map[ownedSource]string // of sources without a key that can be compared
	used    list.List              // of *knownSource, the latest first
}

type ownedSource struct {
	device int64
	source SessionSource
}

type knownSource struct {
	ownedSource
	token string
}

const keyedToken = "key:"

func (b *sourceBook) token(device int64, source SessionSource) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byToken == nil {
		b.byToken, b.tokens = map[string]*list.Element{}, map[ownedSource]string{}
	}
	token := b.tokenOf(device, source)
	if known, ok := b.byToken[token]; ok {
		known.Value.(*knownSource).source = source
		b.used.MoveToFront(known)
		return token
	}
	b.byToken[token] = b.used.PushFront(&knownSource{ownedSource{device, source}, token})
	if b.used.Len() > maxSources {
		b.forget(b.used.Back())
	}
	return token
}

func (b *sourceBook) tokenOf(device int64, source SessionSource) string {
	if keyed, ok := source.(interface{ Key() string }); ok {
		return keyedToken + strconv.FormatInt(device, 10) + ":" + keyed.Key()
	}
	if !reflect.ValueOf(source).Comparable() {
		return rand.Text()
	}
	owned := ownedSource{device, source}
	token, ok := b.tokens[owned]
	if !ok {
		token = rand.Text()
		b.tokens[owned] = token
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

// splitToken returns the device and the key of a keyed token.
func splitToken(token string) (device, key string, ok bool) {
	rest, keyed := strings.CutPrefix(token, keyedToken)
	if !keyed {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}
