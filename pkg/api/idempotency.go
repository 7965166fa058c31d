// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// answerWithin is how long a call whose answer was lost is repeated: an agent that is
// restarted answers again before.
const answerWithin = 15 * time.Second

type idempotencyKey struct{}

// WithIdempotencyKey returns a context for one call of a [Client] that changes something.
// Calls with the same key, at most 255 printable ASCII characters, have one effect within
// seven days, also of other processes and after a restart: the later ones get the answer of
// the first. A key that was given with another call is a Conflict. The agent keeps the
// answer encrypted with the key, so a key that cannot be guessed (a UUID) is better than a
// counter.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// keyOf returns the key of a call, "" for none.
func keyOf(ctx context.Context) string {
	key, _ := ctx.Value(idempotencyKey{}).(string)
	return key
}

// fetchOnce is fetch that is repeated while no answer comes, and has one effect.
func fetchOnce[T any](ctx context.Context, t *transport, method, path string, body any) (T, error) {
	if keyOf(ctx) == "" {
		ctx = WithIdempotencyKey(ctx, rand.Text())
	}
	answer, err := fetch[T](ctx, t, method, path, body)
	if !broken(err) {
		return answer, err
	}
	repeat, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for wait := firstRetry; ; wait = min(2*wait, time.Second) {
		select {
		case <-repeat.Done():
			return answer, err
		case <-time.After(wait):
		}
		again, failed := fetch[T](repeat, t, method, path, body)
		if CodeOf(failed) != Unavailable && repeat.Err() == nil {
			return again, failed
		}
	}
}

// broken reports a call of which it is not known whether it was done.
func broken(err error) bool {
	var own *Error
	return errors.As(err, &own) && own.Code == Unavailable && own.Err != nil
}
