// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// notInSDK is what an embedder of pkg/api must not get, on any OS, and why.
var notInSDK = []struct{ path, reason string }{
	{"github.com/cilium/ebpf", "it is for Linux, and a portal loads no programs"},
	{"github.com/vishvananda", "netlink is for Linux"},
	{"github.com/mattn/go-sqlite3", "it needs a C compiler"},
	{"golang.org/x/sys/unix", "it does not build on Windows"},
	{module + "/pkg/dataplane/linux", "the kernel is the agent's"},
	{module + "/pkg/sessions/manager", "the rules run in the agent"},
	{module + "/pkg/api/server", "the socket's server is the agent's"},
}

// TestTheSDKIsLight: `make vet-sdk` builds it for the same systems.
func TestTheSDKIsLight(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		list := exec.Command("go", "list", "-deps", "./pkg/api")
		list.Dir = "../.."
		list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := list.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", system, err, out)
		}
		for dependency := range strings.FieldsSeq(string(out)) {
			for _, not := range notInSDK {
				if within(dependency, []string{not.path}) {
					t.Errorf("%s: pkg/api brings %s: %s", system, dependency, not.reason)
				}
			}
		}
	}
}
