// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const retiredInfix = ":past-"

// Past returns what maps of other versions counted, the oldest first. They are there
// until RemoveRetired, also for a process that comes after this one. Maps that cannot be
// read are logged and left out, and so are those that counted nothing. When it fails
// nothing was looked at.
func (d *Dataplane) Retired() ([]dataplane.Retired, error) {
	dirs, err := d.pins.retired()
	if err == nil && len(dirs) > 0 {
		err = d.grace.wait(d.grace.next()) // packets in flight may still count there
	}
	if err != nil {
		return nil, err
	}
	var list []dataplane.Retired
	for _, dir := range dirs {
		one, err := readRetired(dir)
		if err != nil {
			d.opts.Log.Warn("what another version's maps counted since the last checkpoint is lost, in the clients' favour",
				"maps", dir, "error", err)
			continue
		}
		if len(one.Spent) > 0 {
			list = append(list, one)
		}
	}
	return list, nil
}

// RemoveRetired removes the maps of other versions.
func (d *Dataplane) RemoveRetired() error { return d.pins.removeRetired() }

func (p pins) removeRetired() error {
	dirs, err := p.retired()
	for _, dir := range dirs {
		err = errors.Join(err, removeAll(dir))
	}
	return err
}

// retireMaps makes the pinned maps, if there are any, those of the past.
func (p pins) retireMaps(until dataplane.Boottime) error {
	// With all digits, so that the order of names is that of time.
	err := os.Rename(p.maps(), fmt.Sprintf("%s%s%019d", p.maps(), retiredInfix, until))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain("setting the former maps aside", err)
	}
	return nil
}

// past returns the folders of maps of the past, the oldest first.
func (p pins) retired() ([]string, error) {
	all, err := names(p.root)
	if err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	var dirs []string
	for _, name := range all {
		if strings.HasPrefix(name, filepath.Base(p.maps())+retiredInfix) {
			dirs = append(dirs, filepath.Join(p.root, name))
		}
	}
	return dirs, nil
}

func readRetired(dir string) (dataplane.Retired, error) {
	var one dataplane.Retired
	_, at, _ := strings.Cut(filepath.Base(dir), retiredInfix)
	if _, err := fmt.Sscanf(at, "%d", &one.Until); err != nil {
		return one, fmt.Errorf("not a time: %w", err)
	}
	meta, err := readMeta(dir)
	if err != nil {
		return one, err
	}
	one.Epoch = meta.Epoch
	accounts, names, err := openPastAccounts(dir)
	if err != nil {
		return one, err
	}
	defer func() { _ = accounts.Close() }()
	if one.Spent, err = spentIn(accounts, names); err != nil {
		return one, fmt.Errorf("map %s: %w", names.table, err)
	}
	return one, nil
}

// openPastAccounts opens the map of accounts, whatever its version called it.
func openPastAccounts(dir string) (m *ebpf.Map, names accountNames, err error) {
	for _, names = range versionsOfAccountNames {
		if m, err = ebpf.LoadPinnedMap(filepath.Join(dir, names.table), nil); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, names, fmt.Errorf("map %s: %w", names.table, err)
	}
	return m, names, nil
}

// spentIn reads a map of accounts of any version, as it describes itself.
func spentIn(accounts *ebpf.Map, names accountNames) (map[dataplane.Account]uint64, error) {
	layout, err := accountLayoutOf(accounts, names)
	if err != nil {
		return nil, err
	}
	spent := make(map[dataplane.Account]uint64)
	var key, value []byte
	entries := accounts.Iterate()
	for entries.Next(&key, &value) {
		if account, bytes := layout.read(key, value); account != 0 && bytes != 0 {
			spent[account] = bytes
		}
	}
	return spent, entries.Err()
}
