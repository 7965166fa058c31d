// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// The kernel floor, and what it brings that the programs cannot do without.
const (
	MinMajor = 5
	MinMinor = 15
)

// Explain turns a failed kernel call into an error that says why and what to do.
// It looks for the cause only now, after trying.
func Explain(action string, err error) error {
	var rejected *ebpf.VerifierError
	switch missing := MissingFeature(); {
	case errors.As(err, &rejected):
		return fmt.Errorf("%s: %w: kernel %s refuses the program: %w", action, dataplane.ErrUnsupported, Release(), err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %w: run as root (needed: CAP_BPF, CAP_NET_ADMIN, and CAP_SYS_ADMIN to mount a bpffs): %w",
			action, dataplane.ErrPermission, err)
	case missing != "":
		return fmt.Errorf("%s: %w: %s: %w", action, dataplane.ErrUnsupported, missing, err)
	}
	return fmt.Errorf("%s: %w", action, err)
}

// MissingFeature names what the running kernel lacks, or is "".
func MissingFeature() string {
	probes := []struct {
		err  error
		lack string
	}{
		{features.HaveMapType(ebpf.Hash), "the kernel has no bpf() (CONFIG_BPF_SYSCALL)"},
		{features.HaveMapType(ebpf.LPMTrie), "no LPM trie maps"},
		{features.HaveProgramType(ebpf.SchedCLS), "no TC programs (CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT)"},
		{features.HaveMapType(ebpf.RingBuf), "no ring buffer"},
		{features.HaveProgramHelper(ebpf.SchedCLS, asm.FnKtimeGetBootNs), "no CLOCK_BOOTTIME for programs"},
	}
	for _, p := range probes {
		if errors.Is(p.err, ebpf.ErrNotSupported) {
			return fmt.Sprintf("%s; needs kernel >= %d.%d, this is %s", p.lack, MinMajor, MinMinor, Release())
		}
	}
	if !AtLeast(Release(), MinMajor, MinMinor) {
		return fmt.Sprintf("needs kernel >= %d.%d, this is %s", MinMajor, MinMinor, Release())
	}
	return ""
}

// Release is the release of the running kernel, as of uname -r.
func Release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// AtLeast compares the leading numbers of a release like "5.15.0-91-generic".
// A release it cannot read counts as new enough: the kernel calls will show.
func AtLeast(release string, major, minor int) bool {
	var ma, mi int
	if n, _ := fmt.Sscanf(release, "%d.%d", &ma, &mi); n != 2 {
		return true
	}
	return ma > major || ma == major && mi >= minor
}
