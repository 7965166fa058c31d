// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzCheckpoint: whatever a whole file says is read without harm, and what was read is
// written so that it is read the same.
func FuzzCheckpoint(f *testing.F) {
	f.Add(uint64(1), []byte{})
	f.Add(uint64(7), []byte("\x04boot\x05\x4d\x01\x02\x03\x04"))
	f.Add(uint64(7), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add(uint64(7), []byte("\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\x00"))
	f.Add(uint64(7), []byte("\x00\x01\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x09"))
	f.Fuzz(func(t *testing.T, number uint64, rest []byte) {
		decode(rest) // as a file without a header
		_, k, g, whole := decode(sealed(number, rest))
		if !whole {
			return
		}
		gotNumber, got, gotG, whole := decode(encode(nil, number, k, g))
		if diff := cmp.Diff(k, got); !whole || gotNumber != number || gotG != g || diff != "" {
			t.Errorf("%x: whole %v, number %d, want %d; %s", rest, whole, gotNumber, number, diff)
		}
	})
}

// sealed puts the header of a file that was written to its end before the rest.
func sealed(number uint64, rest []byte) []byte {
	b := slices.Concat([]byte(magic), make([]byte, header-len(magic)), rest)
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(rest)))
	binary.LittleEndian.PutUint32(b[20:], checksum(b[8:16], rest))
	return b
}
