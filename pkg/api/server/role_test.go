// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func TestRoles(t *testing.T) {
	const operators, viewers = 50, 60
	both := roles{self: 7, operators: operators, viewers: viewers}
	alone := roles{self: 7, operators: noGroup, viewers: noGroup}
	for _, test := range []struct {
		name  string
		peer  peer
		roles roles
		want  role
	}{
		{"root", peer{UID: 0}, alone, root},
		{"the agent's own user", peer{UID: 7, GID: 7}, alone, root},
		{"let in by a chmod", peer{UID: 1000, GID: 1000}, alone, viewer},
		{"in no group", peer{UID: 1000, GID: 1000}, both, stranger},
		{"operator by primary group", peer{UID: 1000, GID: operators}, both, operator},
		{"operator by supplementary group", peer{UID: 1000, GID: 1000, Groups: []uint32{1, operators}}, both, operator},
		{"viewer by primary group", peer{UID: 1000, GID: viewers}, both, viewer},
		{"viewer by supplementary group", peer{UID: 1000, GID: 1000, Groups: []uint32{viewers}}, both, viewer},
		{"in both groups", peer{UID: 1000, GID: viewers, Groups: []uint32{operators}}, both, operator},
	} {
		if got := test.roles.of(test.peer); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// Whatever changes something needs an operator; so do the questions that
// remember the device that is asked for.
func TestRoutesNeedTheirRole(t *testing.T) {
	for _, route := range (&Server{}).routes(backend{}) {
		want := operator
		if route.method == "GET" && route.path != "/v1/resolve" && route.path != "/v1/captive" && route.path != "/v1/devices/{device}/available-session" {
			want = viewer
		}
		if got := route.needs(); got != want {
			t.Errorf("%s %s needs %s, want %s", route.method, route.path, got, want)
		}
	}
}

// asOther is set in a copy of the test binary that calls the agent as another user.
const asOther = "HOTSPOT_TEST_SOCKET"

// callAsOther prints the code of a read, of a write, and of a read that writes.
func callAsOther(socket string) int {
	c := api.NewClient(socket)
	_, read := c.Devices(context.Background())
	_, write := c.CreateDevice(context.Background(), api.NewDevice{MAC: secondMAC})
	_, resolve := c.Resolve(context.Background(), firstIP)
	for _, err := range []error{read, write, resolve} {
		if err == nil {
			fmt.Println("done")
		} else {
			fmt.Println(sessions.CodeOf(err), err)
		}
	}
	return 0
}

func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	binary := copySelf(t)
	operators, both := Access{Operators: "4242"}, Access{Operators: "4242", Viewers: "4343"}
	const needsOperator = "is a viewer: POST /v1/devices needs the role operator (root, or a member of socket_group)"
	for _, test := range []struct {
		name    string
		access  Access
		cred    syscall.Credential
		open    bool // the socket's mode is opened by hand, to see the server's own check
		read    string
		write   string // and more words of it
		explain string
	}{
		{"in no group", operators, syscall.Credential{Uid: 4000, Gid: 4000}, false, "forbidden", "forbidden", "not permitted to use the socket"},
		{"in the group", operators, syscall.Credential{Uid: 4000, Gid: 4242}, false, "done", "done", ""},
		{"in the group beside its own", operators, syscall.Credential{Uid: 4000, Gid: 4000, Groups: []uint32{4242}}, false, "done", "done", ""},
		{"without a group", Access{}, syscall.Credential{Uid: 4000, Gid: 4242}, false, "forbidden", "forbidden", "not permitted to use the socket"},
		{"let in by a chmod", operators, syscall.Credential{Uid: 4000, Gid: 4000}, true, "done", "forbidden", needsOperator},
		{"viewer", both, syscall.Credential{Uid: 4000, Gid: 4343}, false, "done", "forbidden", needsOperator},
		{"operator, with viewers", both, syscall.Credential{Uid: 4000, Gid: 4242}, false, "done", "done", ""},
		{"stranger", both, syscall.Credential{Uid: 4000, Gid: 4000}, false, "forbidden", "forbidden", "is a stranger: every request needs the role viewer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := startAgent(t, Options{Access: test.access})
			letThrough(t, a.Dir)
			if test.open {
				if err := os.Chmod(a.Socket(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			out, err := asUser(binary, &test.cred, asOther+"="+a.Socket()).CombinedOutput()
			lines := strings.Split(string(out), "\n")
			if err != nil || len(lines) < 3 || !strings.HasPrefix(lines[0], test.read) ||
				!strings.HasPrefix(lines[1], test.write) || !strings.Contains(lines[1], test.explain) {
				t.Errorf("read and write: %s (%v), want %s and %s with %q", out, err, test.read, test.write, test.explain)
			}
			wasStranger := strings.Contains(test.explain, "stranger")
			if logged := strings.Contains(a.log.String(), "method=POST"); logged && wasStranger {
				t.Errorf("a stranger fills the log: %s", a.log.String())
			}
			if resolved := strings.HasPrefix(lines[2], "not_found"); resolved != (test.write == "done") {
				t.Errorf("resolve: %s, want it refused like a write", lines[2])
			}
		})
	}
}

func asUser(binary string, cred *syscall.Credential, env ...string) *exec.Cmd {
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return cmd
}

// copySelf puts the test binary where every user may run it.
func copySelf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "caller")
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	letThrough(t, dir)
	return binary
}

// letThrough lets every user pass a test's directories.
func letThrough(t *testing.T, dir string) {
	t.Helper()
	for root := filepath.Clean(os.TempDir()); dir != root && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
