// SPDX-License-Identifier: Apache-2.0

package linux

import "github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"

// fpq is fair phantom queues (bpf/fair.h) in plain Go, from any state on: what
// one packet does to it.
type fpq struct {
	speed      bpf.Speed
	tat        uint64
	vtime      uint64
	vtimeAt    uint64
	firstEmpty uint64
	lastEmpty  uint64
	active     uint64
	sample     uint64
	backlogged [3]uint64
	finish     [32]uint64
	clamp      bool   // receive windows are clamped
	clamped    uint32 // the queues of flows whose windows are
}

// fpqOf is the state in the kernel.
func fpqOf(s bpf.Speed, tat uint64, k *bpf.HotspotFair) fpq {
	m := fpq{
		speed: s, tat: tat, vtime: k.VtimeNs, vtimeAt: k.VtimeAtNs, firstEmpty: k.FirstEmptyNs, lastEmpty: k.LastEmptyNs,
		active: uint64(k.Active), sample: k.SampledNs, finish: k.FinishNs, clamp: testbedClamp, clamped: k.Clamped,
	}
	for i, n := range k.Backlogged {
		m.backlogged[i] = uint64(n)
	}
	return m
}

// samplePeriod is how often backlogged flows are counted, in ns.
const samplePeriod = 100_000_000

// shareOf is ns / n as the kernel has it, without a division: a millionth less at
// most, which decides about a packet that just fits.
func shareOf(ns, n uint64) uint64 { return ns * ((1 << 20) / n) >> 20 }

func (m *fpq) cost(bytes uint64) uint64 { return bytes * m.speed.RateNsPerByte >> bpf.RateShift }

// queue is what is charged to a queue and not drained yet.
func (m *fpq) queue(i int) uint64 {
	if m.finish[i] > m.vtime {
		return m.finish[i] - m.vtime
	}
	return 0
}

// queued is the sum of all queues.
func (m *fpq) queued() (sum uint64) {
	for i := range m.finish {
		sum += m.queue(i)
	}
	return sum
}

func (m *fpq) longer(than uint64) (n uint64) {
	for i := range m.finish {
		if m.queue(i) > than {
			n++
		}
	}
	return n
}

func (m *fpq) scan() {
	m.active, m.firstEmpty = m.longer(0), ^uint64(0)>>2
	for i := range m.finish {
		if m.queue(i) > 0 {
			m.firstEmpty = min(m.firstEmpty, m.finish[i])
		}
	}
}

// advance drains the queues up to now, as far as one packet does it.
func (m *fpq) advance(now uint64) {
	if m.tat <= now {
		m.vtime, m.active, m.vtimeAt = m.lastEmpty, 0, now
		return
	}
	left := now - m.vtimeAt
	for range 2 {
		need := (m.firstEmpty - m.vtime) * m.active
		if m.active == 0 || left < need {
			break
		}
		left -= need
		m.vtime = m.firstEmpty
		m.scan()
	}
	if m.active == 0 {
		m.vtimeAt = now
		return
	}
	step := shareOf(min(left, (m.firstEmpty-m.vtime)*m.active), m.active)
	m.vtime += step
	m.vtimeAt = now - (left - step*m.active)
}

func (m *fpq) sampleBacklogged(now uint64) {
	since := now - m.sample
	if since < samplePeriod {
		return
	}
	m.backlogged[2], m.backlogged[1] = m.backlogged[1], m.backlogged[0]
	if since >= 3*samplePeriod {
		m.backlogged[1], m.backlogged[2] = 0, 0
	}
	packets := uint64(4)
	if m.clamp {
		packets = 2
	}
	m.backlogged[0], m.sample = m.longer(packets*m.cost(1514)), now
}

// admit returns whether a packet of wire bytes into queue i (-1: of a flow that has
// none) passes at now, and how long its queue is then.
func (m fpq) admit(i int, wire, now uint64) (pass bool, queue uint64) {
	m.advance(now)
	m.sampleBacklogged(now)
	if i >= 0 {
		queue = m.queue(i)
	}
	var backlog uint64
	if m.tat > now {
		backlog = m.tat - now
	}
	burst, beyond := m.speed.BurstNs, uint64(0)
	if i >= 0 && m.clamped>>i&1 == 1 {
		burst, beyond = burst+burst/4, 2*m.cost(1514)
	}
	share := shareOf(burst, max(1, m.backlogged[0], m.backlogged[1], m.backlogged[2]))
	most, total := max(share, 8*m.cost(1514))+beyond, 2*m.speed.BurstNs
	if queue == 0 || wire <= 256 {
		most += 6 * m.cost(1514)
		total += m.speed.BurstNs / 4
	}
	admit := m.cost(min(wire, 1514))
	if queue+admit > most || backlog+admit > total {
		return false, queue
	}
	return true, queue + m.cost(wire)
}
