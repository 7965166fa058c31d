// SPDX-License-Identifier: Apache-2.0

package tables

import "strings"

// where is the conditions of a query and their arguments. The zero value has none.
type where struct {
	terms []string
	args  []any
}

func (w *where) and(term string, args ...any) {
	w.terms, w.args = append(w.terms, term), append(w.args, args...)
}

// page leaves out what comes up to and with a key; 0 is before all.
func (w *where) page(key string, after int64, newest bool) {
	switch {
	case after == 0:
	case newest:
		w.and(key+" < ?", after)
	default:
		w.and(key+" > ?", after)
	}
}

// String is empty without conditions.
func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// order is what comes behind the conditions; its argument is added. A limit is an
// expression: SQLite parses a statement anew whose LIMIT is a parameter that changed.
func (w *where) order(key string, newest bool, limit int) string {
	text := " ORDER BY " + key
	if newest {
		text += " DESC"
	}
	if limit > 0 {
		text += " LIMIT ? + 0"
		w.args = append(w.args, int64(limit))
	}
	return text
}

// pattern is a LIKE that finds text anywhere; a backslash escapes.
func pattern(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text) + "%"
}
