// SPDX-License-Identifier: Apache-2.0

package running

import (
	"container/heap"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// dueQueue orders running sessions by when something of them is due, so that the
// first is known at once among any number. Those that are never due are not in it.
type dueQueue struct{ entries dueHeap }

// first is the earliest time, 0 when the queue is empty.
func (q *dueQueue) first() dataplane.Boottime {
	if len(q.entries) == 0 {
		return 0
	}
	return q.entries[0].due
}

// set sets when an entry is due, 0 for never.
func (q *dueQueue) set(e *Entry, at dataplane.Boottime) {
	queued := e.due != 0
	switch {
	case queued && at == 0:
		heap.Remove(&q.entries, int(e.heapIndex))
		e.due = 0
	case queued:
		e.due = at
		heap.Fix(&q.entries, int(e.heapIndex))
	case at != 0:
		e.due = at
		heap.Push(&q.entries, e)
	}
}

// until visits the entries that are due by now, in no order.
func (q *dueQueue) until(now dataplane.Boottime, visit func(*Entry)) {
	q.entries.until(0, now, visit)
}

func (h dueHeap) until(at int, now dataplane.Boottime, visit func(*Entry)) {
	if at >= len(h) || h[at].due > now {
		return // and so are all below it
	}
	visit(h[at])
	h.until(2*at+1, now, visit)
	h.until(2*at+2, now, visit)
}

// dueHeap is container/heap's.
type dueHeap []*Entry

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = int32(i), int32(j)
}

func (h *dueHeap) Push(x any) {
	e := x.(*Entry)
	e.heapIndex = int32(len(*h))
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// earlier is the smaller of two times of which 0 means never.
func earlier(a, b dataplane.Boottime) dataplane.Boottime {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
