// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

func TestOpenWithoutPrivilege(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.NetNS = ""
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread has lost its rights
		var none [2]unix.CapUserData
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- fmt.Errorf("capset: %w", err)
			return
		}
		d, err := Open(opts)
		if err == nil {
			_ = d.Close()
		}
		done <- err
	}()
	err := <-done
	if !errors.Is(err, dataplane.ErrPermission) || !strings.Contains(err.Error(), "run as root") {
		t.Errorf("Open without capabilities: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		is   error
		says string
	}{
		"permission": {os.ErrPermission, dataplane.ErrPermission, "run as root"},
		"verifier":   {&ebpf.VerifierError{Cause: unix.EACCES}, dataplane.ErrUnsupported, "refuses the program"},
		"other":      {unix.ENOMEM, nil, "making a map: "},
	} {
		err := kernel.Explain("making a map", test.err)
		if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
