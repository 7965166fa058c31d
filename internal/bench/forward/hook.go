// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// hookSubject is programs that do nothing, on the hooks that the agent uses: what
// being there costs, whatever one does there. It turns nobody away.
var hookSubject = subject{name: "hook", open: true, foreign: true, enforce: func(_ context.Context, r *router) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}, // the next one decides
	})
	if err != nil {
		return fmt.Errorf("an empty program: %w", err)
	}
	defer func() { _ = prog.Close() }()
	return r.kiosk.Router.Do(func() error {
		bridge, err := net.InterfaceByName(lab.Bridge)
		if err != nil {
			return err
		}
		for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			l, err := link.AttachTCX(link.TCXOptions{Interface: bridge.Index, Program: prog, Attach: hook})
			if err != nil {
				return fmt.Errorf("attach an empty program: %w", err)
			}
			r.onClose(l.Close)
		}
		return nil
	})
}}
