// SPDX-License-Identifier: Apache-2.0

package netchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// accepting loads another tool's program: what it sees passes, and no later program is
// asked.
func accepting() (*ebpf.Program, error) {
	const tcActOK = 0
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "observer", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcActOK), asm.Return()},
	})
}

// linkInFront puts a program before the agent's by tcx, both ways. It stays until the end.
func (t *trial) linkInFront() error {
	prog, err := accepting()
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	return t.Kiosk.Router.Do(func() error {
		bridge, err := net.InterfaceByName(lab.Bridge)
		if err != nil {
			return err
		}
		for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			l, err := link.AttachTCX(link.TCXOptions{Interface: bridge.Index, Program: prog, Attach: hook, Anchor: link.Head()})
			if err != nil {
				return err
			}
			t.OnClose(l.Close)
		}
		return nil
	})
}

// filterInFront does the same by tc(8), which runs the newest filter of a priority first.
func (t *trial) filterInFront() error {
	prog, err := accepting()
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	pin := filepath.Join(t.Agent.Dir(), "bpf", "observer")
	if err := prog.Pin(pin); err != nil {
		return err
	}
	defer func() { _ = os.Remove(pin) }()
	var lines []string
	for _, hook := range []string{"ingress", "egress"} {
		lines = append(lines, "filter add dev "+lab.Bridge+" "+hook+" pref 1 handle 1 bpf direct-action object-pinned "+pin)
	}
	return batch("tc", lines...)(t)
}

// secondAgent starts another agent with folders of its own on the same bridge, which must be
// refused with both folders named.
func (t *trial) secondAgent() error {
	dir, err := os.MkdirTemp("", "hs-second")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bpffs := filepath.Join("/sys/fs/bpf", filepath.Base(dir))
	defer func() { _ = os.RemoveAll(bpffs) }()
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("interfaces: [%s]\nstate_dir: %s/state\nsocket: %s/agent.sock\nbpffs: %s\n", lab.Bridge, dir, dir, bpffs)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		return err
	}
	cmd := t.Kiosk.Router.Command(t.binary, "run", "--config", config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err = cmd.Wait()
	if err == nil || ctx.Err() != nil {
		return errors.New("a second agent on the same bridge was not refused")
	}
	for _, folder := range []string{bpffs, filepath.Join(t.Agent.Dir(), "bpf")} {
		if !strings.Contains(out.String(), folder) {
			return fmt.Errorf("the refusal of a second agent does not name %s: %s", folder, bytes.TrimSpace(out.Bytes()))
		}
	}
	return nil
}
