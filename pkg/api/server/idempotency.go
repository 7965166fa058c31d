// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxKey is the longest Idempotency-Key, in characters.
const maxKey = 255

// retries answer a request that has an Idempotency-Key, as that header is described by
// draft-ietf-httpapi-idempotency-key-header: once it was done, its repetitions get the first
// answer and have no effect. Safe for concurrent use.
type retries struct {
	backend
	turns *keylock.Locks[[sha256.Size]byte] // of keys: the same request is done once at a time
}

// once does a request, unless it was done before. One that comes while the first is being
// done waits for it.
func (r retries) once(c *call, route route) (*reply, error) {
	key, err := keyOf(c.Header)
	if err != nil {
		return nil, err
	}
	q := requestOf(key, c)
	end, err := r.turns.LockContext(c.Context(), q.Key)
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "the first request with this Idempotency-Key is still being done: %w", err)
	}
	defer end()
	first, err := r.rules.Retries.Answer(c.Context(), q.Key)
	switch {
	case sessions.CodeOf(err) == sessions.NotFound:
		return r.first(c, route, key, q)
	case err != nil:
		return nil, err
	case first.Request != q.Request:
		return nil, reusedKey{}
	}
	c.w.Header().Set("Idempotency-Replayed", "true")
	return unseal(key, first.Sealed)
}

// first does a request that was not done before, and keeps its answer. Of a sale the
// answer is stored with it; here only if it became another one since.
func (r retries) first(c *call, route route, key string, q *sessions.Request) (*reply, error) {
	var stored []byte
	if route.sold != nil {
		q.Seal = func(p sessions.Purchase) ([]byte, error) {
			stored = plain(route.sold(p))
			return seal(key, stored)
		}
	}
	c.Request = c.WithContext(sessions.WithRequest(c.Context(), q))
	answer, err := route.handler(c)
	if err != nil || answer == nil {
		return answer, err
	}
	if final := plain(answer); !bytes.Equal(final, stored) {
		sealed, err := seal(key, final)
		if err == nil {
			err = r.rules.Retries.Keep(context.WithoutCancel(c.Context()), q, sealed)
		}
		if err != nil { // it was done
			r.log.Warn("answer not kept for a retry", "method", c.Method, "path", c.URL.Path, "error", err)
		}
	}
	return answer, nil
}

// keyOf returns the request's key, and refuses one that is none.
func keyOf(h http.Header) (string, error) {
	keys := h.Values(wire.HeaderKey)
	if len(keys) != 1 {
		return "", sessions.Invalidf(wire.HeaderKey, "given %d times", len(keys))
	}
	key := keys[0]
	if len(key) == 0 || len(key) > maxKey {
		return "", sessions.Invalidf(wire.HeaderKey, "it has %d characters (1 to %d)", len(key), maxKey)
	}
	for _, char := range []byte(key) {
		if char < ' ' || char > '~' {
			return "", sessions.Invalidf(wire.HeaderKey, "%q is not printable ASCII", sessions.Shorten(key))
		}
	}
	return key, nil
}

// requestOf names a request by what it asks for.
func requestOf(key string, c *call) *sessions.Request {
	h := sha256.New()
	for _, part := range []string{c.Method, c.URL.Path, c.URL.RawQuery} {
		fmt.Fprintf(h, "%d %s\n", len(part), part)
	}
	h.Write(c.body)
	q := &sessions.Request{Key: sha256.Sum256([]byte(key))}
	h.Sum(q.Request[:0])
	return q
}

// reusedKey is the error of a key that was another request's.
type reusedKey struct{}

func (reusedKey) Error() string {
	return "Idempotency-Key: it was given with another request (method, path, query or body); a new request needs a new key"
}

// kept is a reply as it is kept.
type kept struct {
	Status   int             `json:"status"`
	Location string          `json:"location,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
}

// plain is a reply before it is sealed.
func plain(answer *reply) []byte {
	k := kept{Status: answer.status, Location: answer.location}
	if answer.body != nil {
		k.Body = wire.JSON(answer.body)
	}
	return wire.JSON(k)
}

// seal encrypts an answer with its key, of which the store has only the hash: a reader of
// the database learns no claim code from it, unless the key can be guessed.
func seal(key string, answer []byte) ([]byte, error) {
	sealer, err := sealerOf(key)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(nil, nil, answer, nil), nil
}

func unseal(key string, sealed []byte) (*reply, error) {
	sealer, err := sealerOf(key)
	if err != nil {
		return nil, err
	}
	text, err := sealer.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	answer := &reply{status: k.Status, location: k.Location}
	if k.Body != nil {
		answer.body = k.Body
	}
	return answer, nil
}

func sealerOf(key string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, []byte(key), nil, "hotspot-agent answer", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
