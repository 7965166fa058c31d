// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Key is one key of the file: how it is read and written, and what the documentation
// says of it.
type Key struct {
	Name    string
	Kind    string  // of the value: "path", "duration"
	Accepts string  // bounds, form and unit
	Values  []Value // of a key with a few named values
	Meaning string  // for the operator, in sentences
	Wrong   string  // YAML of a value that is refused; empty: each is accepted
	Keys    []Key   // of a section

	read reader
	show func(Config) string // the value as YAML
}

// Value is one of the named values of a key.
type Value struct{ Name, Meaning string }

// reader stores the value of a key, or adds a problem.
type reader func(d *decoder, key string, node ast.Node)

// value is a key with one value at a place of the configuration.
func value[T any](k Key, at func(*Config) *T, parse func(string) (T, error), show func(T) string) Key {
	k.read = func(d *decoder, key string, node ast.Node) {
		text, ok := d.scalar(key, node)
		if !ok {
			return
		}
		value, err := parse(text)
		if err != nil {
			d.fail(key, node, "%v", err)
			return
		}
		*at(&d.cfg) = value
	}
	k.show = func(c Config) string { return show(*at(&c)) }
	return k
}

// name is a key whose values are among those of k.
func name[T ~string](k Key, at func(*Config) *T) Key {
	k.Kind, k.Accepts = "name", "one of the names below"
	var names []string
	for _, v := range k.Values {
		names = append(names, v.Name)
	}
	return value(k, at, oneOf[T](names...), func(v T) string { return string(v) })
}

// list is a key with a list of values, none of them twice. It replaces the default.
func list[T comparable](k Key, at func(*Config) *[]T, parse func(string) (T, error), show func(T) string) Key {
	k.read = func(d *decoder, key string, node ast.Node) {
		var all []T
		d.list(key, node, func(d *decoder, key string, node ast.Node) {
			text, ok := d.scalar(key, node)
			if !ok {
				return
			}
			value, err := parse(text)
			switch {
			case err != nil:
				d.fail(key, node, "%v", err)
			case slices.Contains(all, value):
				d.fail(key, node, "%q is in the list twice", text)
			default:
				all = append(all, value)
			}
		})
		*at(&d.cfg) = all
	}
	k.show = func(c Config) string {
		text := "["
		for i, v := range *at(&c) {
			if i > 0 {
				text += ", "
			}
			text += show(v)
		}
		return text + "]"
	}
	return k
}

// section is a key with keys of its own.
func section(k Key) Key {
	k.Kind = "section"
	k.read = func(d *decoder, key string, node ast.Node) {
		if _, null := node.(*ast.NullNode); !null {
			d.mapping(key+".", node, k.Keys)
		}
	}
	k.show = func(c Config) string {
		text := "{"
		for i, sub := range k.Keys {
			if i > 0 {
				text += ", "
			}
			text += sub.Name + ": " + sub.show(c)
		}
		return text + "}"
	}
	return k
}

func plain(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }
