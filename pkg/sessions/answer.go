// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"crypto/sha256"
	"time"
)

// Answers are kept for AnswerAge, but of more than MaxAnswers the latest only.
const (
	AnswerAge  = 7 * 24 * time.Hour
	MaxAnswers = 16_384
)

// Answer is what a request was answered that its caller may repeat. It is stored in the
// transaction of the request's change, so that there is one if there is the other.
type Answer struct {
	Key     [sha256.Size]byte // of the caller's key
	Request [sha256.Size]byte // of what was requested
	Sealed  []byte            // the answer, to be read with the key
	Created time.Time
}

// Request is a call that its caller may repeat: with its key it has one effect. A verb that
// changes what was bought stores its answer with the change.
type Request struct {
	Key, Request [sha256.Size]byte // those of its Answer
	// Seal makes the answer of what was stored; nil: the caller keeps it afterwards.
	Seal func(Purchase) ([]byte, error)
}

type requestKey struct{}

// WithRequest returns a context in which a verb is called for a request; nil: for none.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf returns the request for which a verb is called, nil for none.
func RequestOf(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}
