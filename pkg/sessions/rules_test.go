// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

var testNow = Instant{
	Wall: time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC), Boot: dataplane.Boottime(time.Hour), BootID: "a", WallTrusted: true,
}

// anySession draws a session that may exist at testNow.
func anySession(t *rapid.T) Session {
	s := Session{
		ID:    SessionID(rapid.Int64Range(1, 1000).Draw(t, "id")),
		Type:  Type(rapid.IntRange(0, 2).Draw(t, "type")),
		Time:  time.Duration(rapid.Int64Range(0, int64(maxTime)).Draw(t, "time")),
		Bytes: rapid.Uint64Range(0, maxBytes).Draw(t, "bytes"),
		State: rapid.SampledFrom([]State{Available, Running, Paused, Consumed, Expired}).Draw(t, "state"),
	}
	s.TimeUsed = time.Duration(rapid.Int64Range(0, int64(s.Time)).Draw(t, "time used"))
	s.Used = rapid.Uint64Range(0, s.Bytes).Draw(t, "used")
	if s.State != Available {
		s.Started = testNow.Wall.Add(-time.Duration(rapid.Int64Range(0, int64(90*24*time.Hour)).Draw(t, "age")))
	}
	if rapid.Bool().Draw(t, "expires") {
		days := rapid.UintRange(1, 60).Draw(t, "days")
		s.ExpDays = &days
	}
	s.Meter = Baseline{Epoch: 7, Spent: rapid.Uint64Range(0, 1<<40).Draw(t, "spent"), Boot: "a"}
	if s.State == Running {
		s.Meter.At = testNow.Boot.Add(-time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "since")))
	}
	return s
}

func reading(s Session, bytes uint64) dataplane.Reading {
	return dataplane.Reading{Account: s.Account(), Epoch: 7, Counters: dataplane.Counters{DownBytes: bytes}}
}

func TestDebitIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySession(t)
		r := reading(s, s.Meter.Spent+rapid.Uint64Range(0, 1<<30).Draw(t, "more"))
		once := AsOf(s, &r, testNow)
		if twice := AsOf(once, &r, testNow); twice != once {
			t.Errorf("settled twice:\n%s", cmp.Diff(once, twice))
		}
		if got := once.Used - s.Used; got != r.Counters.Spent()-s.Meter.Spent {
			t.Errorf("debited %d bytes of %d", got, r.Counters.Spent()-s.Meter.Spent)
		}
	})
}

// However a span is cut into checkpoints, and whatever is read again, the debit
// is the same.
func TestDebitDoesNotDependOnCheckpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySession(t)
		s.State, s.Meter.At = Running, testNow.Boot
		BackdateStart(&s, testNow) // a session that is dated later has used what it ran until then, beyond its expiry too
		stepwise, now, bytes := s, testNow, s.Meter.Spent
		for range rapid.IntRange(1, 10).Draw(t, "checkpoints") {
			d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "pause"))
			now.Boot, now.Wall = now.Boot.Add(d), now.Wall.Add(d)
			bytes += rapid.Uint64Range(0, 1<<30).Draw(t, "bytes more")
			if rapid.Bool().Draw(t, "checkpoint") {
				r := reading(s, bytes)
				stepwise = AsOf(stepwise, &r, now)
			}
		}
		r := reading(s, bytes)
		atOnce, stepwise := AsOf(s, &r, now), AsOf(stepwise, &r, now)
		if atOnce.Used != stepwise.Used || atOnce.TimeUsed != stepwise.TimeUsed {
			t.Errorf("at once %d bytes %s, stepwise %d bytes %s", atOnce.Used, atOnce.TimeUsed, stepwise.Used, stepwise.TimeUsed)
		}
		if s.Type.Timed() && stepwise.TimeUsed > stepwise.Time {
			t.Errorf("%s of %s used", stepwise.TimeUsed, stepwise.Time)
		}
	})
}

// Settling must not move what the kernel enforces.
func TestRuleIsInvariantUnderSettling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySession(t)
		s.State = Running
		s.Meter.At = testNow.Boot
		s.Started = testNow.Wall
		now := testNow
		d := time.Duration(rapid.Int64Range(0, int64(s.RemainingTime()/2+1)).Draw(t, "later"))
		now.Boot, now.Wall = now.Boot.Add(d), now.Wall.Add(d)
		more := rapid.Uint64Range(0, s.RemainingBytes()).Draw(t, "bytes")
		r := reading(s, s.Meter.Spent+more)
		before, after := RuleOf(s, GlobalSpeeds{}, testNow), RuleOf(AsOf(s, &r, now), GlobalSpeeds{}, now)
		if before != after {
			t.Errorf("settling changed the rule:\n%s", cmp.Diff(before, after))
		}
	})
}

func TestDebitOfAnotherEpochCountsFromZero(t *testing.T) {
	s := Session{State: Paused, Used: 10, Meter: Baseline{Epoch: 1, Spent: 900}}
	r := dataplane.Reading{Epoch: 2, Counters: dataplane.Counters{UpBytes: 30, DownBytes: 3}}
	if !DebitBytes(&s, r) || s.Used != 43 || s.Meter.Spent != 33 || s.Meter.Epoch != 2 {
		t.Errorf("got %+v", s)
	}
}

func TestDebitIgnoresCountGoingBackwards(t *testing.T) {
	s := Session{State: Running, Used: 10, Meter: Baseline{Epoch: 1, Spent: 900}}
	before := s
	if DebitBytes(&s, dataplane.Reading{Epoch: 1, Counters: dataplane.Counters{UpBytes: 899}}) || s != before {
		t.Errorf("got %+v", s)
	}
}

func TestTimeOfAnotherBootIsNotCharged(t *testing.T) {
	s := Session{Type: Time, State: Running, Time: time.Hour, Meter: Baseline{Boot: "before", At: 5}}
	if got := AsOf(s, nil, testNow); got.TimeUsed != 0 {
		t.Errorf("charged %s", got.TimeUsed)
	}
}

func TestChoose(t *testing.T) {
	days := func(n uint) *uint { return &n }
	long := testNow.Wall.Add(-24 * time.Hour)
	hour := Session{Type: Time, Time: time.Hour, State: Available}
	with := func(s Session, id SessionID, edit func(*Session)) Session {
		s.ID = id
		if edit != nil {
			edit(&s)
		}
		return s
	}
	paused := func(s *Session) { s.State, s.Started = Paused, long }
	cases := []struct {
		name string
		list []Session
		want SessionID
	}{
		{"nothing", nil, 0},
		{"the oldest", []Session{with(hour, 4, nil), with(hour, 3, nil)}, 3},
		{"what expires first", []Session{with(hour, 1, nil), with(hour, 2, func(s *Session) { s.ExpDays = days(9) }),
			with(hour, 3, func(s *Session) { s.ExpDays = days(2) })}, 3},
		{"what was started", []Session{with(hour, 1, func(s *Session) { s.ExpDays = days(1) }), with(hour, 2, paused)}, 2},
		{"what was started and expires first", []Session{with(hour, 1, paused),
			with(hour, 2, func(s *Session) { paused(s); s.ExpDays = days(5) })}, 2},
		{"not what is spent", []Session{with(hour, 1, func(s *Session) { paused(s); s.TimeUsed = time.Hour }), with(hour, 2, nil)}, 2},
		{"not what expired", []Session{with(hour, 1, func(s *Session) { paused(s); s.ExpDays = days(1) }), with(hour, 2, nil)}, 2},
		{"not what is over", []Session{with(hour, 1, func(s *Session) { s.State = Consumed }),
			with(hour, 2, func(s *Session) { s.State = Expired }), with(hour, 3, func(s *Session) { s.State = Running })}, 0},
	}
	for _, c := range cases {
		got, ok := Choose(c.list, testNow)
		if got.ID != c.want || ok != (c.want != 0) {
			t.Errorf("%s: chose %d (%v), want %d", c.name, got.ID, ok, c.want)
		}
	}
}

// The choice is a total order: it depends on the sessions, not on how they come.
func TestChooseIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.Custom(anySession), 0, 8, func(s Session) SessionID { return s.ID }).Draw(t, "sessions")
		want, ok := Choose(list, testNow)
		got, again := Choose(rapid.Permutation(list).Draw(t, "shuffled"), testNow)
		if got != want || ok != again {
			t.Errorf("chose %d, shuffled %d", want.ID, got.ID)
		}
		if ok && (got.Exhausted() || testNow.Expired(got)) {
			t.Errorf("chose %+v", got)
		}
		if !ok && slices.ContainsFunc(list, func(s Session) bool { return Usable(s, testNow) }) {
			t.Error("chose none, though one is usable")
		}
	})
}

func TestExpiryWaitsForTheClock(t *testing.T) {
	day := uint(1)
	s := Session{Type: Time, Time: time.Hour, State: Paused, ExpDays: &day, Started: testNow.Wall.Add(-48 * time.Hour)}
	unset := testNow
	unset.Wall, unset.WallTrusted = time.Unix(100, 0), false
	if !testNow.Expired(s) || unset.Expired(s) {
		t.Errorf("expired: %v with the clock set, %v without", testNow.Expired(s), unset.Expired(s))
	}
	s.State, s.Meter.At = Running, testNow.Boot
	if at := Deadline(s, unset); at != testNow.Boot.Add(time.Hour) {
		t.Errorf("without a clock the deadline is %d", at)
	}
	if at := Deadline(s, testNow); at > testNow.Boot {
		t.Errorf("the deadline of an expired session is %d", at)
	}
	s.Started = time.Unix(60, 0) // under the clock that was not set
	if testNow.Expired(s) {
		t.Error("a session started in 1970 expired when the clock was set")
	}
}

func TestLow(t *testing.T) {
	cases := []struct {
		s    Session
		want bool
	}{
		{Session{Type: Time, Time: 100 * time.Second, TimeUsed: 90 * time.Second}, true},
		{Session{Type: Time, Time: 100 * time.Second, TimeUsed: 89 * time.Second}, false},
		{Session{Type: Data, Bytes: 1000, Used: 900}, true},
		{Session{Type: Data, Bytes: 1000, Used: 899}, false},
		{Session{Type: TimeOrData, Time: time.Hour, Bytes: 1000, Used: 950}, true},
		{Session{Type: Data, Bytes: math.MaxInt64, Used: math.MaxInt64 / 2}, false},
	}
	for _, c := range cases {
		if got := IsLow(c.s, 10); got != c.want {
			t.Errorf("low(%+v) = %v", c.s, got)
		}
		if IsLow(c.s, 0) {
			t.Errorf("low(%+v, 0)", c.s)
		}
	}
}

// The session is low from the time that LowBalanceAt returns, and not before.
func TestLowAtIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySession(t)
		s.Type, s.State, s.Meter.At, s.ExpDays = Time, Running, testNow.Boot, nil
		if IsLow(s, 10) {
			t.Skip()
		}
		now := testNow
		now.Boot = LowBalanceAt(s, 10)
		if !IsLow(AsOf(s, nil, now), 10) {
			t.Error("not low when it should be")
		}
		now.Boot--
		if IsLow(AsOf(s, nil, now), 10) {
			t.Error("low too early")
		}
	})
}

func TestRemainingNeverWraps(t *testing.T) {
	s := Session{Type: TimeOrData, Time: 1, TimeUsed: 2, Bytes: 1, Used: 2}
	if s.RemainingTime() != 0 || s.RemainingBytes() != 0 {
		t.Errorf("remaining %s, %d bytes", s.RemainingTime(), s.RemainingBytes())
	}
}
