// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

const dieIn = "HOTSPOT_TEST_DIE_IN"

// TestDieBetweenFolderAndSocket is the start that TestListenCleansUpAfterAKill kills.
func TestDieBetweenFolderAndSocket(t *testing.T) {
	dir := os.Getenv(dieIn)
	if dir == "" {
		return // it is a part of TestListenCleansUpAfterAKill
	}
	if _, err := lockDir(dir); err != nil {
		t.Fatal(err)
	}
	private, err := os.MkdirTemp(dir, privateName) //nolint:usetesting // as the server does
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenIn(private); err != nil {
		t.Fatal(err)
	}
	fmt.Println("made")
	select {}
}

// The kind of fault: what a start makes for itself stays for ever when the start is
// killed. The next one removes just that, and nothing that looks like it.
func TestListenCleansUpAfterAKill(t *testing.T) {
	dir := t.TempDir()
	start := exec.Command("/proc/self/exe", "-test.run=^TestDieBetweenFolderAndSocket$")
	start.Env = append(os.Environ(), dieIn+"="+dir)
	out, err := start.StdoutPipe()
	if err == nil {
		err = start.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "made\n" {
		t.Fatalf("the start says %q, %v", line, err)
	}
	_ = start.Process.Kill()
	_ = start.Wait() // killed
	if left, _ := filepath.Glob(filepath.Join(dir, ".hotspot-*", "s")); len(left) != 1 {
		t.Fatalf("the killed start left %v", left)
	}
	for _, other := range []string{".hotspot-7", ".hotspot-8", ".hotspot-home", "hotspot-9", ".hotspot-10/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, other), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, ".hotspot-8"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".hotspot-7", "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(filepath.Join(dir, "agent.sock"), Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(ln)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".hotspot-10", ".hotspot-7", ".hotspot-8", ".hotspot-home", "agent.sock", "hotspot-9"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	wire.CloseQuietly(conn)
}
