// SPDX-License-Identifier: Apache-2.0

package output

import (
	"errors"
	"fmt"
	"io"
)

// Written is where the program prints. It remembers the first failure, so that what prints
// line by line need not look at each. Not safe for concurrent use.
type Written struct {
	w   io.Writer
	err error
}

// Remember returns w itself when it remembers already.
func Remember(w io.Writer) *Written {
	if already, ok := w.(*Written); ok {
		return already
	}
	return &Written{w: w}
}

func (w *Written) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	if err != nil {
		w.err = &LostError{err}
	}
	return n, w.err
}

// Unwrap is the writer itself, as for what asks whether it is a terminal.
func (w *Written) Unwrap() io.Writer { return w.w }

// Err is a *[LostError] when something was not written.
func (w *Written) Err() error { return w.err }

// LostError is that standard output took nothing.
type LostError struct{ err error }

func (e *LostError) Error() string { return fmt.Sprintf("the output was not written: %v", e.err) }

func (e *LostError) Unwrap() error { return e.err }

// IsLost reports whether err is of output that was not written.
func IsLost(err error) bool {
	var lost *LostError
	return errors.As(err, &lost)
}
