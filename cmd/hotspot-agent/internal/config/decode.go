// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Problem is one thing wrong with the file.
type Problem struct {
	File string
	Line int    // from 1; 0 when the whole file is meant
	Key  string // as in "log.level" or "trusted[2]"; empty for a syntax error
	Why  string // names the value
}

func (p *Problem) Error() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Key == "" {
		return where + ": " + p.Why
	}
	return where + ": " + p.Key + ": " + p.Why
}

// Problems is every thing wrong with the file, in the order of its lines. Its
// message is one line: the first problem, and how many more there are.
type Problems []*Problem

func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].Error()
	}
	return fmt.Sprintf("%s (and %d more)", ps[0].Error(), len(ps)-1)
}

// Load reads and checks a file. What it does not say is as in base. The error is
// [Problems] unless the file cannot be read.
func Load(path string, base Config) (Config, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Config{}, fmt.Errorf("no configuration file at %s: copy the annotated example to it, or name another with --config", path)
	case err != nil:
		return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return parse(path, data, base)
}

// parse checks the text of a file that is called name in errors.
func parse(name string, data []byte, base Config) (Config, error) {
	d := &decoder{file: name, cfg: base, lines: map[string]int{}}
	if root := d.document(data); root != nil {
		d.mapping("", root, Keys())
	}
	if len(d.problems) == 0 {
		d.crossCheck()
	}
	if len(d.problems) > 0 {
		return Config{}, d.problems
	}
	return d.cfg, nil
}

// decoder walks the syntax tree: unlike reflection it knows the line of a value
// and its text as it was written (a MAC of twelve digits is no octal number).
type decoder struct {
	file     string
	cfg      Config
	lines    map[string]int // of the keys seen so far
	problems Problems
}

// fail adds a problem at the line of node or, when that is nil, of the key.
func (d *decoder) fail(key string, node ast.Node, format string, args ...any) {
	line := d.lines[key]
	if node != nil {
		line = lineOf(node)
	}
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Key: key, Why: fmt.Sprintf(format, args...)})
}

func lineOf(node ast.Node) int {
	if tok := node.GetToken(); tok != nil {
		return tok.Position.Line
	}
	return 0
}

// document parses the text; nil when it is empty or wrong.
func (d *decoder) document(data []byte) ast.Node {
	file, err := parser.ParseBytes(data, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		p := &Problem{File: d.file, Why: oneLine(syntax.GetMessage())}
		if tok := syntax.GetToken(); tok != nil {
			p.Line = tok.Position.Line
		}
		d.problems = append(d.problems, p)
		return nil
	case err != nil:
		d.fail("", nil, "%s", oneLine(err.Error()))
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			d.fail("", doc.Body, "a second document: the configuration is one")
			return nil
		default:
			root = doc.Body
		}
	}
	switch root.(type) {
	case *ast.CommentGroupNode, *ast.NullNode:
		return nil
	}
	return root
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// mapping reads "key: value" pairs; a key that is not among keys is refused.
func (d *decoder) mapping(prefix string, node ast.Node, keys []Key) {
	pairs, ok := node.(ast.MapNode)
	if !ok {
		d.fail(strings.TrimSuffix(prefix, "."), node, "%s is not a mapping: want \"key: value\" lines", show(node))
		return
	}
	for it := pairs.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		if i < 0 {
			d.fail(prefix+name, it.Key(), "unknown key%s", suggest(name, keys))
			continue
		}
		d.lines[prefix+name] = lineOf(it.Key())
		keys[i].read(d, prefix+name, it.Value())
	}
}

// suggest names the known key that differs from name in case or separators only,
// or that one of them starts.
func suggest(name string, keys []Key) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	for _, known := range keys {
		a, b := plain(name), plain(known.Name)
		if a == b || a == b+"s" || b == a+"s" {
			return fmt.Sprintf(" (did you mean %s?)", known.Name)
		}
	}
	return ""
}

// scalar returns a plain value as it was written.
func (d *decoder) scalar(key string, node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		d.fail(key, node, "has no value")
	case *ast.AliasNode:
		d.fail(key, node, "%s is an alias in YAML: write it in quotes, as %q", show(node), show(node))
	default:
		d.fail(key, node, "%s is not a plain value", show(node))
	}
	return "", false
}

// list reads each item of a sequence; a key with nothing after it is an empty list.
func (d *decoder) list(key string, node ast.Node, item reader) {
	if _, null := node.(*ast.NullNode); null {
		return
	}
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fail(key, node, "%s is not a list: write [%s]", show(node), show(node))
		return
	}
	for i, value := range seq.Values {
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		d.lines[itemKey] = lineOf(value)
		item(d, itemKey, value)
	}
}

// show is a node as it was written, on one line and not too long.
func show(node ast.Node) string {
	text := []rune(oneLine(node.String()))
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}

// crossCheck refuses values that are valid alone and not together.
func (d *decoder) crossCheck() {
	if len(d.cfg.Interfaces) == 0 {
		d.fail("interfaces", nil, "is empty: name the client-facing interfaces, like [br-lan]")
	}
	for i, mac := range d.cfg.Blocked {
		if slices.Contains(d.cfg.Trusted, mac) {
			d.fail(fmt.Sprintf("blocked[%d]", i), nil, "%s is trusted as well: keep it in one list", mac)
		}
	}
	if names, ports := d.cfg.Garden.Names(), d.cfg.Garden.Ports; len(names) > 0 && len(ports) == 0 {
		d.fail("walled_garden_ports", nil, "is empty, and walled_garden has the name %s: name the ports that are open at its addresses, like [443, 80]", names[0])
	} else if len(ports) > dataplane.MaxGardenPorts {
		d.fail("walled_garden_ports", nil, "%d ports: at most %d", len(ports), dataplane.MaxGardenPorts)
	}
	if c := d.cfg; c.CaptiveAPI != "" && !admitted(c.CaptiveAPI, c.Portals, c.Garden) {
		d.fail("captive.api", nil, "%q is neither in portal nor in walled_garden: no device reaches it before paying", c.CaptiveAPI)
	}
	if c := d.cfg; c.Captive.Redirect != "" && !admitted(c.Captive.Redirect, c.Portals, c.Garden) {
		d.fail("captive.redirect", nil, "%q is neither in portal nor in walled_garden: devices would be led there for ever", c.Captive.Redirect)
	}
}

// admitted reports whether any device reaches the server of a checked URL before paying, as
// far as its text says: a name may stand for any address.
func admitted(text string, portals []dataplane.Portal, garden dataplane.Garden) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return true
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	open := func(p dataplane.Portal) bool {
		return strconv.Itoa(int(p.Port)) == port && p.Protocol == "tcp" && (!p.Addr.IsValid() || p.Addr == addr)
	}
	return slices.ContainsFunc(portals, open) || slices.ContainsFunc(garden.Networks(), func(p netip.Prefix) bool { return p.Contains(addr) })
}
