// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/internal/source"
)

const diskBytes = 48 << 20

// machine is a virtual machine of which the power can be cut.
type machine struct {
	dir    string // kernel, initramfs, socket
	kernel string
	disk   *medium
	listen net.Listener
	serves sync.WaitGroup // the listener
	guests sync.WaitGroup // connections
}

func newMachine(agent string, random *rand.Rand) (m *machine, err error) {
	m = &machine{}
	if m.dir, err = os.MkdirTemp("", "hs-power-"); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		m.fetchKernel,
		func() error { return m.buildRoot(agent) },
		func() error { return m.format(random) },
		m.listenForGuest,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *machine) close() error {
	if m.listen != nil {
		_ = m.listen.Close()
		m.serves.Wait()
		m.guests.Wait()
	}
	return os.RemoveAll(m.dir)
}

// output runs a program and returns what it printed.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(string(out)), err
}

func (m *machine) fetchKernel() error {
	root, err := source.Root(context.Background())
	if err != nil {
		return err
	}
	m.kernel, err = output(root, "hack/kernel.sh")
	return err
}

// modules are what the guest needs of the kernel's, with what these need.
var modules = []string{"net", "lib", "crypto", "drivers/virtio", "drivers/block/virtio_blk.ko", "drivers/net/veth.ko"}

// buildRoot packs the guest's root: the agent, this program as its first process, and
// what they need.
func (m *machine) buildRoot(agent string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	root := filepath.Join(m.dir, "root")
	for _, dir := range []string{"bin", "proc", "sys", "dev", "tmp", "run", "etc", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for source, target := range map[string]string{self: "init", agent: "bin/hotspot-agent", "busybox": "bin/busybox", "nsenter": "bin/nsenter"} {
		if err := install(root, source, target); err != nil {
			return err
		}
	}
	if err := m.copyModules(root); err != nil {
		return err
	}
	_, err = output(root, "sh", "-c", "find . | cpio -o -H newc --quiet > ../initramfs")
	return err
}

// install copies a program and its libraries.
func install(root, source, target string) error {
	path, err := exec.LookPath(source)
	if err != nil {
		return err
	}
	if err := copyFile(path, filepath.Join(root, target)); err != nil {
		return err
	}
	needs, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil // a static program
	}
	for word := range strings.FieldsSeq(string(needs)) {
		if strings.HasPrefix(word, "/") {
			if err := copyFile(word, filepath.Join(root, word)); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (m *machine) vmlinuz() (path, release string, err error) {
	found, err := filepath.Glob(filepath.Join(m.kernel, "boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", "", fmt.Errorf("kernels in %s: %q", m.kernel, found)
	}
	_, release, _ = strings.Cut(filepath.Base(found[0]), "-")
	return found[0], release, nil
}

func (m *machine) copyModules(root string) error {
	_, release, err := m.vmlinuz()
	if err != nil {
		return err
	}
	from := filepath.Join(m.kernel, "lib/modules", release)
	to := filepath.Join(root, "lib/modules", release)
	for _, part := range modules {
		err := filepath.WalkDir(filepath.Join(from, "kernel", part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			return copyFile(path, filepath.Join(to, strings.TrimPrefix(path, from)))
		})
		if err != nil {
			return err
		}
	}
	for _, list := range []string{"modules.order", "modules.builtin"} {
		if err := copyFile(filepath.Join(from, list), filepath.Join(to, list)); err != nil {
			return err
		}
	}
	_, err = output(root, "busybox", "depmod", "-b", root, release)
	return err
}

// format makes the disk, with an empty file system.
func (m *machine) format(random *rand.Rand) error {
	path := filepath.Join(m.dir, "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(path, diskBytes); err != nil {
		return err
	}
	if _, err := output(m.dir, "mkfs.ext4", "-q", path); err != nil {
		return err
	}
	image, err := os.ReadFile(path)
	m.disk = newMedium(image, random)
	return err
}

func (m *machine) socket() string { return filepath.Join(m.dir, "nbd") }

func (m *machine) listenForGuest() (err error) {
	if m.listen, err = net.Listen("unix", m.socket()); err != nil {
		return err
	}
	m.serves.Go(func() {
		for {
			conn, err := m.listen.Accept()
			if err != nil {
				return
			}
			m.guests.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = m.disk.serve(conn) // what breaks off is a guest whose power was cut
			})
		}
	})
	return nil
}

// guest is a machine that is switched on.
type guest struct {
	cmd  *exec.Cmd
	says *bufio.Scanner
}

// boot switches on. after is what the agent does with sessions that ran, rtc what the
// machine's clock shows.
func (m *machine) boot(after, rtc string) (*guest, error) {
	vmlinuz, _, err := m.vmlinuz()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("qemu-system-x86_64", "-M", "q35", "-cpu", "Nehalem,-cx16", "-smp", "1", "-m", "768",
		"-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
		"-rtc", "base="+rtc, "-kernel", vmlinuz, "-initrd", filepath.Join(m.dir, "initramfs"),
		"-drive", "file=nbd+unix:///?socket="+m.socket()+",format=raw,if=virtio",
		"-append", "console=ttyS0 quiet panic=-1 after_reboot="+after)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &guest{cmd: cmd, says: lines}, nil
}

// off takes the power away, if that was not done yet.
func (g *guest) off() error {
	err := g.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = g.cmd.Wait() // killed
	return err
}
