// SPDX-License-Identifier: Apache-2.0

package sessions

import (
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
