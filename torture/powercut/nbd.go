// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The part of the NBD protocol that QEMU needs
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
const (
	magicServer  = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption  = 0x49484156454f5054 // "IHAVEOPT"
	magicAnswer  = 0x3e889045565a9
	magicRequest = 0x25609513
	magicReply   = 0x67446698

	fixedNewstyle = 1

	optionInfo = 6
	optionGo   = 7

	answerAck         = 1
	answerInfo        = 3
	answerUnsupported = 1<<31 + 1

	canFlushAndForce = 1 | 1<<2 | 1<<3 // flags, flush, FUA

	requestRead  = 0
	requestWrite = 1
	requestQuit  = 2
	requestFlush = 3

	forced    = 1       // flag of a write
	mostBytes = 1 << 26 // of a request
)

// serve speaks to one guest until it is gone.
func (d *medium) serve(conn net.Conn) error {
	s := session{disk: d, in: bufio.NewReader(conn), out: bufio.NewWriter(conn), gone: make(chan struct{})}
	err := s.negotiate()
	for err == nil {
		err = s.request()
	}
	close(s.gone)
	s.flushes.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// session is one connection. All numbers are big-endian.
type session struct {
	disk    *medium
	in      *bufio.Reader
	flushes sync.WaitGroup // not ended
	gone    chan struct{}  // closed with the connection

	mu  sync.Mutex // of writes
	out *bufio.Writer
}

func (s *session) send(values ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if err := binary.Write(s.out, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (s *session) receive(into any) error { return binary.Read(s.in, binary.BigEndian, into) }

// negotiate goes through the guest's options until it wants to begin.
func (s *session) negotiate() error {
	if err := s.send(uint64(magicServer), uint64(magicOption), uint16(fixedNewstyle)); err != nil {
		return err
	}
	if err := s.receive(new(uint32)); err != nil {
		return err
	}
	for {
		var option struct {
			Magic        uint64
			Kind, Length uint32
		}
		if err := s.receive(&option); err != nil {
			return err
		}
		if option.Magic != magicOption || option.Length > mostBytes {
			return fmt.Errorf("no option of NBD: %+v", option)
		}
		if _, err := s.in.Discard(int(option.Length)); err != nil {
			return err
		}
		begin, err := s.option(option.Kind)
		if begin || err != nil {
			return err
		}
	}
}

func (s *session) option(kind uint32) (begin bool, err error) {
	if kind != optionGo && kind != optionInfo {
		return false, s.send(uint64(magicAnswer), kind, uint32(answerUnsupported), uint32(0))
	}
	const length = 2 + 8 + 2
	err = s.send(uint64(magicAnswer), kind, uint32(answerInfo), uint32(length),
		uint16(0), uint64(len(s.disk.current)), uint16(canFlushAndForce),
		uint64(magicAnswer), kind, uint32(answerAck), uint32(0))
	return kind == optionGo, err
}

func (s *session) request() error {
	var r struct {
		Magic       uint32
		Flags, Kind uint16
		Handle, At  uint64
		Length      uint32
	}
	if err := s.receive(&r); err != nil {
		return err
	}
	if r.Magic != magicRequest || r.Length > mostBytes || r.At+uint64(r.Length) > uint64(len(s.disk.current)) {
		return fmt.Errorf("no request of NBD: %+v", r)
	}
	var answer []byte
	switch r.Kind {
	case requestRead:
		answer = make([]byte, r.Length)
		s.disk.read(int64(r.At), answer)
	case requestWrite:
		data := make([]byte, r.Length)
		if _, err := io.ReadFull(s.in, data); err != nil {
			return err
		}
		s.disk.write(int64(r.At), data, r.Flags&forced != 0)
	case requestFlush:
		takes, done := s.disk.flush()
		s.flushes.Go(func() { s.flushed(r.Handle, takes, done) })
		return nil
	case requestQuit:
		return io.EOF
	default:
		return fmt.Errorf("request %d of NBD was not offered", r.Kind)
	}
	return s.reply(r.Handle, answer)
}

func (s *session) reply(handle uint64, answer []byte) error {
	return s.send(uint32(magicReply), uint32(0), handle, answer)
}

// flushed answers a flush when it is done, beside other requests, unless the power is
// cut first.
func (s *session) flushed(handle uint64, takes time.Duration, done func()) {
	select {
	case <-time.After(takes):
		done()
		_ = s.reply(handle, nil) // the next request meets the same error
	case <-s.gone:
	}
}
