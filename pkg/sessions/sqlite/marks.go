// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// marksFile keeps the marks beside the database: in SQLite the smallest transaction
// dirties two pages of the WAL, and one checkpoint more. Here the marks of some 500
// sessions are one block.
//
// There are two files, written in turn, so that a torn one leaves the one before.
// They are written over in place: once as large as needed, a write changes nothing
// that the file system has to keep a journal of.
//
//	magic, number, length and CRC of the rest; boot id, time, epoch, and
//	for each mark session and count (all numbers of the rest are varints).
//	The count of the last possible session is the known wall time in ns
type marksFile struct {
	path string // with "0" or "1" behind it

	mu     sync.Mutex
	number uint64 // of the last write; 0: not yet known
	buffer []byte
}

const (
	marksMagic  = "HSAGmrk1"
	marksHeader = 8 + 8 + 4 + 4
	knownTime   = math.MaxUint64 // in place of a session
	marksBlock  = 4096           // written as a whole, so that nothing has to be read for it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// PutMarks replaces the marks.
func (s *Store) PutMarks(k sessions.Marks) error {
	if err := s.marks.put(k); err != nil {
		return sessions.Errorf(sessions.Unavailable, "the checkpoint %s cannot be written: %w", s.marks.path, err)
	}
	return nil
}

// Marks returns the last marks.
func (s *Store) Marks() (sessions.Marks, error) {
	s.marks.mu.Lock()
	defer s.marks.mu.Unlock()
	k, err := s.marks.last()
	if err != nil {
		return k, sessions.Errorf(sessions.Unavailable, "the checkpoint %s cannot be read: %w", s.marks.path, err)
	}
	return k, nil
}

func (f *marksFile) put(k sessions.Marks) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number == 0 {
		if _, err := f.last(); err != nil {
			return err
		}
	}
	f.number++
	f.buffer = appendMarks(f.buffer[:0], f.number, k)
	name := f.name(f.number)
	if err := overwrite(name, f.buffer); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (f *marksFile) name(number uint64) string { return fmt.Sprintf("%s%d", f.path, number%2) }

// last reads the newest marks that are whole.
func (f *marksFile) last() (sessions.Marks, error) {
	var newest sessions.Marks
	for slot := range uint64(2) {
		data, err := os.ReadFile(f.name(slot))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return newest, err
		}
		if number, k, whole := parseMarks(data); whole && number >= f.number {
			f.number, newest = number, k
		}
	}
	return newest, nil
}

// overwrite writes data at the begin of a file and returns when it is on disk.
func overwrite(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err == nil {
		err = unix.Fdatasync(int(file.Fd()))
	}
	err = errors.Join(err, file.Close())
	if made && err == nil {
		err = syncParent(name)
	}
	return err
}

func appendMarks(b []byte, number uint64, k sessions.Marks) []byte {
	b = append(b, marksMagic...)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = append(b, make([]byte, 8)...) // length and CRC, below
	b = binary.AppendUvarint(b, uint64(len(k.Boot)))
	b = append(b, k.Boot...)
	b = binary.AppendUvarint(b, uint64(k.At))
	b = binary.AppendUvarint(b, k.Epoch)
	if !k.Known.IsZero() {
		b = binary.AppendUvarint(b, knownTime)
		b = binary.AppendUvarint(b, uint64(k.Known.UnixNano()))
	}
	for _, mark := range k.Spent {
		b = binary.AppendUvarint(b, uint64(mark.Session))
		b = binary.AppendUvarint(b, mark.Spent)
	}
	rest := b[marksHeader:]
	binary.LittleEndian.PutUint32(b[16:], uint32(len(rest)))
	binary.LittleEndian.PutUint32(b[20:], checksum(b[8:16], rest))
	whole := (len(b) + marksBlock - 1) / marksBlock * marksBlock
	from := len(b)
	b = slices.Grow(b, whole-from)[:whole]
	clear(b[from:])
	return b
}

func checksum(number, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(number, castagnoli), castagnoli, rest)
}

// parseMarks reports false for what is no whole set of marks.
func parseMarks(b []byte) (number uint64, k sessions.Marks, whole bool) {
	if len(b) < marksHeader || string(b[:8]) != marksMagic {
		return 0, k, false
	}
	length := uint64(binary.LittleEndian.Uint32(b[16:]))
	if length > uint64(len(b)-marksHeader) {
		return 0, k, false
	}
	rest := b[marksHeader : marksHeader+length]
	if checksum(b[8:16], rest) != binary.LittleEndian.Uint32(b[20:]) {
		return 0, k, false
	}
	r := varints{rest: rest}
	k.Boot = string(r.bytes(r.next()))
	k.At, k.Epoch = dataplane.Boottime(r.next()), r.next()
	for len(r.rest) > 0 && !r.bad {
		id, count := r.next(), r.next()
		if id == knownTime {
			k.Known = time.Unix(0, int64(count)).UTC()
			continue
		}
		k.Spent = append(k.Spent, sessions.Mark{Session: sessions.SessionID(id), Spent: count})
	}
	return binary.LittleEndian.Uint64(b[8:]), k, !r.bad
}

// varints reads numbers until one is not whole.
type varints struct {
	rest []byte
	bad  bool
}

func (r *varints) next() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, n = true, 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *varints) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
