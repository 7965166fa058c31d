// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// checkPrivilege fails before anything is touched when the kernel would refuse:
// programs need CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), attaching them CAP_NET_ADMIN.
func checkPrivilege() error {
	has := capabilities()
	if has(unix.CAP_NET_ADMIN) && (has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON)) {
		return nil
	}
	return &exit.Failure{
		Err:  fmt.Errorf("not permitted: uid %d may not load programs into the kernel", os.Geteuid()),
		Hint: "run it as root (sudo), or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and CAP_SYS_ADMIN to mount a bpffs",
	}
}

// capabilities reports which capabilities this process has in effect, capget(2).
func capabilities() func(capability int) bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return func(int) bool { return os.Geteuid() == 0 }
	}
	return func(capability int) bool { return data[capability/32].Effective&(1<<(capability%32)) != 0 }
}
