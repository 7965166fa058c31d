// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func testEvents(t *testing.T, s sessions.Store) {
	all := []sessions.Event{
		{Time: noon, Type: sessions.DeviceCreated, Device: 1, MAC: mac(1).String()},
		{Time: noon, Type: sessions.SessionStarted, Device: 1, MAC: mac(1).String(), Session: 7},
		{Time: noon, Type: sessions.ClientDisconnected, Device: 1, Session: 7, Reason: "request", Message: "Bye, “Ana”"},
		{Time: noon, Type: sessions.InterfaceProtected, Interface: "br-lan", DurationMS: 12},
		{Time: noon, Type: sessions.ClientConflict, Device: 1, Session: 7, Differs: "port", Before: "lan1", After: "lan2"},
	}
	update(t, s, func(tx sessions.Tx) error {
		for i := range all {
			must(t, tx.AppendEvent(&all[i]))
			if want := int64(i + 1); all[i].Seq != want {
				t.Fatalf("event %d got the number %d", want, all[i].Seq)
			}
		}
		return nil
	})
	cases := []struct {
		after int64
		limit int
		want  []sessions.Event
	}{
		{0, 0, all}, {0, 100, all}, {0, 2, all[:2]}, {1, 1, all[1:2]}, {2, 0, all[2:]},
		{5, 0, nil}, {99, 10, nil}, {-1, -1, all},
	}
	for _, c := range cases {
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.Events(c.after, c.limit)
			same(t, fmt.Sprintf("Events(%d, %d)", c.after, c.limit), got, c.want)
			return err
		})
	}
}

// testSeqGapless appends from many goroutines, with failures in between.
func testSeqGapless(t *testing.T, s sessions.Store) {
	const writers, each = 8, 20
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				err := s.Update(t.Context(), func(tx sessions.Tx) error { return appendSome(tx, 1+i%3, (w+i)%4 == 0) })
				if err != nil && !errors.Is(err, errAbort) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	view(t, s, func(tx sessions.Tx) error {
		events, err := tx.Events(0, 0)
		for i, e := range events {
			if e.Seq != int64(i+1) {
				t.Fatalf("event %d has the number %d", i+1, e.Seq)
			}
		}
		if len(events) == 0 {
			t.Error("no events were stored")
		}
		return err
	})
}

func appendSome(tx sessions.Tx, n int, fail bool) error {
	for range n {
		if err := tx.AppendEvent(&sessions.Event{Time: noon, Type: sessions.SessionUpdated}); err != nil {
			return err
		}
	}
	if fail {
		return errAbort
	}
	return nil
}

// testGenerations: the numbers of the events of a store belong to its generation.
func testGenerations(t *testing.T, s sessions.Store) {
	view(t, s, func(tx sessions.Tx) error {
		first, last, err := tx.EventRange()
		must(t, err)
		if first != 0 || last != 0 {
			t.Errorf("an empty store has events %d to %d", first, last)
		}
		return nil
	})
	update(t, s, func(tx sessions.Tx) error { return appendSome(tx, 3, false) })
	view(t, s, func(tx sessions.Tx) error {
		first, last, err := tx.EventRange()
		must(t, err)
		g, err := tx.Generation()
		must(t, err)
		of, err := tx.LastEventOf(g)
		must(t, err)
		if g == 0 || first != 1 || last != 3 || of != 3 {
			t.Errorf("events %d to %d, generation %s up to %d: want 1 to 3", first, last, g, of)
		}
		_, err = tx.LastEventOf(g + 1)
		wantCode(t, "a generation of elsewhere", err, sessions.NotFound)
		return nil
	})
}

// testAnswers: the latest answer to a key.
func testAnswers(t *testing.T, s sessions.Store) {
	a := sessions.Answer{Key: [32]byte{1}, Request: [32]byte{2}, Sealed: []byte("one"), Created: noon}
	update(t, s, func(tx sessions.Tx) error { return tx.PutAnswer(a) })
	a.Sealed = []byte("two")
	update(t, s, func(tx sessions.Tx) error { return tx.PutAnswer(a) })
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.Answer(a.Key)
		same(t, "Answer", got, a)
		must(t, err)
		_, err = tx.Answer([32]byte{9})
		wantCode(t, "a key that was never used", err, sessions.NotFound)
		return nil
	})
}
