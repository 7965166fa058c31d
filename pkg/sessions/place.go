// SPDX-License-Identifier: Apache-2.0

package sessions

import "fmt"

// Place is a place in the sequence of events: behind the one with a number.
type Place struct {
	After      int64
	Generation Generation // in which the number was learnt; 0: not known
}

// LostPlace is why events cannot be continued from a place: those behind it were trimmed,
// or its number is of another history of the database.
type LostPlace struct {
	First, Last int64      // numbers of the events that are stored; none: Last is First-1
	Generation  Generation // of the database
}

func (l *LostPlace) Error() string {
	return fmt.Sprintf("the events from %d to %d of generation %s are stored", l.First, l.Last, l.Generation)
}

// Gone is the error of a place that is lost.
func (p Place) Gone(l LostPlace) error {
	return Errorf(Gone, "after: the events behind %d are gone, trimmed or of another database; %w", p.After, &l)
}

// CheckPlace returns the generation of the database, and refuses a place that is lost. The
// begin of all, without a generation, is none that can be. Codes: Gone.
func CheckPlace(tx Tx, p Place) (Generation, error) {
	now, err := tx.Generation()
	if err != nil {
		return 0, err
	}
	first, last, err := tx.EventRange()
	if err != nil {
		return now, err
	}
	if first == 0 {
		first = last + 1
	}
	until := last
	if p.Generation != 0 {
		if until, err = tx.LastEventOf(p.Generation); CodeOf(err) == NotFound {
			return now, p.Gone(LostPlace{first, last, now})
		} else if err != nil {
			return now, err
		}
	}
	begin := p.After == 0 && p.Generation == 0
	if p.After > until || p.After < first-1 && !begin {
		return now, p.Gone(LostPlace{first, last, now})
	}
	return now, nil
}
