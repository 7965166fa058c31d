// SPDX-License-Identifier: Apache-2.0

// Package checkpoint keeps the last [sessions.Checkpoint] in two files beside the database.
package checkpoint

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
)

// Files keeps the last checkpoint beside the database: in SQLite the smallest
// transaction dirties two pages of the WAL, and one checkpoint of the WAL more. Here the
// counts of some 500 sessions are one block.
//
// There are two files, written in turn, so that a torn one leaves the one before.
// They are written over in place: once as large as needed, a write changes nothing but
// the time of the file. It goes past the page cache, where it can: the
// cache writes pages, and a small hotspot fits in some sectors.
//
//	magic, number, length and CRC of the rest; boot id, time, epoch, and
//	account and count of each session (all numbers of the rest are varints).
//	The count of the last possible account is the known wall time in ns, that of the one
//	before the generation of the database
//
// Safe for concurrent use.
type Files struct {
	path string // of the database

	mu     sync.Mutex
	number uint64 // of the last write; 0: not yet known
	former bool   // there are files of the former name
	buffer []byte
}

const (
	magic     = "HSAGmrk1"
	header    = 8 + 8 + 4 + 4
	knownTime = math.MaxUint64 // in place of an account
	knownGen  = knownTime - 1
	sector    = 512  // the least that a disk can be asked to write
	block     = 4096 // the page cache writes it as a whole, so that nothing has to be read for it
)

// Names of the files behind that of the database. The former ones are read as well: an
// upgrade after a power cut loses no count.
var (
	parts       = [2]string{"-checkpoint0", "-checkpoint1"}
	formerParts = [2]string{"-marks0", "-marks1"}
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Beside returns the files of a database.
func Beside(database string) *Files { return &Files{path: database} }

// Names are those of the files, former ones included, of a database.
func Names(database string) (names []string) {
	for _, part := range slices.Concat(parts[:], formerParts[:]) {
		names = append(names, database+part)
	}
	return names
}

// Put replaces the checkpoint, and returns when it is on the disk.
func (f *Files) Put(k sessions.Checkpoint, g sessions.Generation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number == 0 {
		if _, _, err := f.last(); err != nil {
			return err
		}
	}
	number := f.number + 1
	data := encode(f.buffer[:0], number, k, g)
	used := len(data)
	f.buffer = padded(data)
	if err := overwrite(f.path+parts[number%2], f.buffer, used); err != nil {
		return err // the next one goes to the same file: the other one has the last that is whole
	}
	f.number = number
	if f.former {
		f.former = false
		for _, part := range formerParts {
			_ = os.Remove(f.path + part) // one that stays has a lower number
		}
	}
	return nil
}

// Last reads the newest checkpoint that is whole, the zero one when there is none, and the
// generation of its database, 0 for a checkpoint without.
func (f *Files) Last() (sessions.Checkpoint, sessions.Generation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last()
}

func (f *Files) last() (newest sessions.Checkpoint, of sessions.Generation, err error) {
	for i, part := range slices.Concat(parts[:], formerParts[:]) {
		data, err := os.ReadFile(f.path + part)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return newest, of, err
		}
		f.former = f.former || i >= len(parts)
		if number, k, g, whole := decode(data); whole && number >= f.number {
			f.number, newest, of = number, k, g
		}
	}
	return newest, of, nil
}

// overwrite writes whole blocks, or the sectors of them that are used, at the begin of a
// file, and returns when they are on disk.
func overwrite(name string, blocks []byte, used int) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	err = writeDirect(file, blocks[:roundUp(used, sector)])
	if errors.Is(err, unix.EINVAL) { // not every file system can, nor every disk such small ones
		err = writeCached(file, blocks)
	}
	if err == nil {
		err = disk.SyncData(file)
	}
	err = errors.Join(err, file.Close())
	if made && err == nil {
		err = disk.SyncParent(name)
	}
	return err
}

// writeDirect writes past the page cache; see open(2), O_DIRECT.
func writeDirect(file *os.File, sectors []byte) error {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
		return err
	}
	_, err := file.WriteAt(sectors, 0)
	return err
}

func writeCached(file *os.File, blocks []byte) error {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFL, 0); err != nil {
		return err
	}
	_, err := file.WriteAt(blocks, 0)
	return err
}

// padded fills the last block with zeroes, in memory at which a block may begin, as
// O_DIRECT demands.
func padded(data []byte) []byte {
	whole := roundUp(len(data), block)
	if whole > cap(data) || offset(data) != 0 {
		room := make([]byte, whole+block)
		begin := block - offset(room)
		data = append(room[begin:begin:begin+whole], data...)
	}
	clear(data[len(data):whole])
	return data[:whole]
}

// offset is where in a block of memory data begins.
func offset(data []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(data))) % block)
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

func encode(b []byte, number uint64, k sessions.Checkpoint, g sessions.Generation) []byte {
	b = append(b, magic...)
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
	if g != 0 {
		b = binary.AppendUvarint(b, knownGen)
		b = binary.AppendUvarint(b, uint64(g))
	}
	for _, count := range k.Spent {
		b = binary.AppendUvarint(b, uint64(count.Account))
		b = binary.AppendUvarint(b, count.Spent)
	}
	rest := b[header:]
	binary.LittleEndian.PutUint32(b[16:], uint32(len(rest)))
	binary.LittleEndian.PutUint32(b[20:], checksum(b[8:16], rest))
	return b
}

func checksum(number, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(number, castagnoli), castagnoli, rest)
}

// decode reports false for what is no whole checkpoint.
func decode(b []byte) (number uint64, k sessions.Checkpoint, g sessions.Generation, whole bool) {
	if len(b) < header || string(b[:8]) != magic {
		return 0, k, 0, false
	}
	length := uint64(binary.LittleEndian.Uint32(b[16:]))
	if length > uint64(len(b)-header) {
		return 0, k, 0, false
	}
	rest := b[header : header+length]
	if checksum(b[8:16], rest) != binary.LittleEndian.Uint32(b[20:]) {
		return 0, k, 0, false
	}
	r := varints{rest: rest}
	k.Boot = string(r.bytes(r.next()))
	k.At, k.Epoch = dataplane.Boottime(r.next()), r.next()
	for len(r.rest) > 0 && !r.bad {
		id, count := r.next(), r.next()
		switch id {
		case knownTime:
			k.Known = time.Unix(0, int64(count)).UTC()
			continue
		case knownGen:
			g = sessions.Generation(count)
			continue
		}
		k.Spent = append(k.Spent, sessions.Count{Account: dataplane.Account(id), Spent: count})
	}
	return binary.LittleEndian.Uint64(b[8:]), k, g, !r.bad
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
