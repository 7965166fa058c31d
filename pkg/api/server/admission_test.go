// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

func TestQuotaKeepsTheLastPlaces(t *testing.T) {
	q := newQuota(64)
	fill := func(r role, firstUID, users uint32) (taken int) {
		for uid := firstUID; uid < firstUID+users; uid++ {
			for {
				if _, ok := q.take(caller{peer: peer{UID: uid}, role: r}); !ok {
					break
				}
				taken++
			}
		}
		return taken
	}
	for _, test := range []struct {
		role            role
		firstUID, users uint32
		want            int
	}{
		{viewer, 1000, 1, 8},    // one viewer: an eighth
		{viewer, 1001, 100, 40}, // all viewers: three quarters
		{operator, 2000, 2, 12}, // operators: up to fifteen sixteenths
		{viewer, 3000, 1, 0},
		{root, 0, 1, 4}, // the rest
	} {
		if got := fill(test.role, test.firstUID, test.users); got != test.want {
			t.Errorf("%d of role %s got %d places, want %d", test.users, test.role, got, test.want)
		}
	}
	q = newQuota(64)
	if got := fill(operator, 2000, 1); got != 32 {
		t.Errorf("one operator got %d places, want half", got)
	}
}

func TestQuotaReleasesOnce(t *testing.T) {
	q := newQuota(2)
	first, _ := q.take(caller{role: root})
	second, _ := q.take(caller{role: root})
	if _, ok := q.take(caller{role: root}); ok {
		t.Error("a third of two places was given")
	}
	first()
	first()
	if q.taken != 1 || q.byUID[0] != 1 {
		t.Errorf("one of two places was given back twice: %d taken, %v", q.taken, q.byUID)
	}
	second()
	if q.taken != 0 || len(q.byUID) != 0 {
		t.Errorf("all is given back: %d taken, %v", q.taken, q.byUID)
	}
}

// hold sends a request and keeps the connection.
func hold(t *testing.T, socket, path string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.CloseQuietly(conn) })
	return conn, askOn(t, conn, path)
}

func askOn(t *testing.T, conn net.Conn, path string) *http.Response {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	a := startAgent(t, Options{MaxConnections: 2})
	first, _ := hold(t, a.Socket(), "/v1/devices")
	_, second := hold(t, a.Socket(), "/v1/devices")
	if second.StatusCode != http.StatusOK {
		t.Fatalf("the second connection: %s", second.Status)
	}
	refused, answer := hold(t, a.Socket(), "/v1/devices")
	if problem := wire.ParseProblem(answer); answer.StatusCode != http.StatusServiceUnavailable || problem.Code != sessions.Unavailable ||
		!strings.Contains(problem.Detail, "too many connections") || !answer.Close {
		t.Errorf("the third connection: %s %+v, close %v; want 503 unavailable and the end", answer.Status, problem, answer.Close)
	}
	wantEOF(t, refused)
	wire.CloseQuietly(first)
	sessionstest.WaitFor(t, "the place of a closed connection is free", func() bool {
		_, err := a.client.Devices(t.Context())
		return err == nil
	})
}

func wantEOF(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.Copy(io.Discard, conn); err != nil || n > 0 {
		t.Errorf("%d bytes more, %v; want that the server hangs up", n, err)
	}
}

// asCrowd is set in a copy of the test binary that opens as many connections as it can.
const asCrowd = "HOTSPOT_TEST_CROWD"

// crowd tries a hundred connections, keeps those that are answered, prints how many
// are and what the others heard, and stays until its standard input ends.
func crowd(socket string) int {
	answers := map[string]int{}
	for range 100 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		_, _ = io.WriteString(conn, "GET /v1/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		answers[answer.Status]++
		defer wire.CloseQuietly(conn)
		if answer.StatusCode != http.StatusOK {
			_, _ = io.Copy(io.Discard, conn) // until the server hung up
		}
	}
	fmt.Println(answers)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// A viewer that takes all it can get leaves places to all other users.
func TestAViewerStarvesNoOther(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	a := startAgent(t, Options{MaxConnections: 64, Access: Access{Operators: "4242", Viewers: "4343"}})
	letThrough(t, a.Dir)
	binary := copySelf(t)
	greedy := asUser(binary, &syscall.Credential{Uid: 4000, Gid: 4343}, asCrowd+"="+a.Socket())
	out, err := greedy.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := greedy.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := greedy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { wire.CloseQuietly(in); _ = greedy.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := "map[200 OK:8 503 Service Unavailable:92]\n"; err != nil || line != want {
		t.Errorf("a viewer's connections: %q, %v; want %q", line, err, want)
	}
	for _, gid := range []uint32{4242, 4343} {
		other := asUser(binary, &syscall.Credential{Uid: 5000, Gid: gid}, asOther+"="+a.Socket())
		if out, err := other.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "done\n") {
			t.Errorf("meanwhile a member of %d: %s, %v", gid, out, err)
		}
	}
	apitest.Must(a.client.Devices(t.Context()))(t)
}

// Streams have places of their own: they take none from requests, and give theirs back.
func TestStreamsAreBounded(t *testing.T) {
	a := startAgent(t, Options{MaxConnections: 3, MaxStreams: 8})
	streams := make([]net.Conn, 8)
	for i := range streams {
		var answer *http.Response
		if streams[i], answer = hold(t, a.Socket(), "/v1/events"); answer.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %s", i, answer.Status)
		}
	}
	_, answer := hold(t, a.Socket(), "/v1/events")
	if problem := wire.ParseProblem(answer); problem.Code != sessions.Unavailable || !strings.Contains(problem.Detail, "too many streams") {
		t.Errorf("one more stream: %s %+v, want 503 unavailable", answer.Status, problem)
	}
	apitest.Must(a.client.Devices(t.Context()))(t)
	wire.CloseQuietly(streams[0])
	sessionstest.WaitFor(t, "the place of a closed stream is free", func() bool {
		_, err := a.client.StoredEvents(t.Context(), 0)
		return err == nil
	})
}

// A connection that sends no request, sends it byte by byte, or stays idle is closed.
func TestSlowRequestsEnd(t *testing.T) {
	a := startAgent(t, Options{HeaderTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond})
	for _, test := range []struct{ name, sent string }{
		{"nothing", ""},
		{"half a header", "GET /v1/devices HTTP/1.1\r\nHost: local"},
		{"a header without its body", "POST /v1/devices HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"},
		{"a whole request and nothing more", "GET /v1/devices HTTP/1.1\r\nHost: localhost\r\n\r\n"},
	} {
		conn, err := net.Dial("unix", a.Socket())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, test.sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: %v, want that the server hangs up", test.name, err)
		}
		wire.CloseQuietly(conn)
	}
}

func TestLongHeaderIsRefused(t *testing.T) {
	a := startAgent(t, Options{})
	conn, err := net.Dial("unix", a.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(conn)
	go func() {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 64<<10))
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v; want 431", answer, err)
	}
}

// A form in a web page can send each of these, and no script is needed for it.
func TestFormsAreRefused(t *testing.T) {
	a := startAgent(t, Options{})
	body := `{"mac":"` + firstMAC + `"}`
	for _, test := range []struct {
		kind   string
		status int
	}{
		{"text/plain", 400},
		{"multipart/form-data; boundary=x", 400},
		{"text/json", 400},
		{"application/json", 201},
		{"application/json; charset=utf-8", 200},
		{"application/x-www-form-urlencoded", 200}, // curl -d; a form would have escaped it
		{"", 200},
	} {
		answer, problem := a.ask("POST", "/v1/devices", body, http.Header{"Content-Type": {test.kind}})
		if answer.StatusCode != test.status || test.status == 400 && problem.Field != "Content-Type" {
			t.Errorf("%q: %d %+v, want %d", test.kind, answer.StatusCode, problem, test.status)
		}
	}
	answer, problem := a.ask("POST", "/v1/devices", "%7B%22mac%22%3A%22"+firstMAC+"%22%7D=", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if answer.StatusCode != http.StatusBadRequest || problem.Field != "body" {
		t.Errorf("a form: %d %+v, want that it is no JSON", answer.StatusCode, problem)
	}
}
