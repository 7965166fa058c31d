// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// pipe speaks the Chrome DevTools Protocol over a pair of pipes (--remote-debugging-pipe): JSON
// with a zero byte behind each message. It is safe for concurrent use.
type pipe struct {
	out     io.WriteCloser
	last    atomic.Int64
	targets chan target // what the browser reports of its tabs

	mu      sync.Mutex
	waiting map[int64]chan<- message
	ended   error
}

// message is what the browser sends: the answer to a call, or an event.
type message struct {
	ID     int64           `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Params json.RawMessage `json:"params"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// target is a tab.
type target struct {
	ID   string `json:"targetId"`
	Type string `json:"type"`
	URL  string `json:"url"`
}

func newPipe(in io.Reader, out io.WriteCloser) *pipe {
	const tabs = 1000 // events that no caller has asked for yet
	p := &pipe{out: out, targets: make(chan target, tabs), waiting: make(map[int64]chan<- message)}
	go p.read(bufio.NewReader(in))
	return p
}

func (p *pipe) read(in *bufio.Reader) {
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			p.end(fmt.Errorf("the browser has ended: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m); err != nil {
			p.end(err)
			return
		}
		p.handle(m)
	}
}

func (p *pipe) handle(m message) {
	if m.ID != 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if answer := p.waiting[m.ID]; answer != nil {
			delete(p.waiting, m.ID)
			answer <- m
		}
		return
	}
	if m.Method == "Target.targetCreated" || m.Method == "Target.targetInfoChanged" {
		var event struct {
			Info target `json:"targetInfo"`
		}
		if json.Unmarshal(m.Params, &event) == nil {
			select {
			case p.targets <- event.Info:
			default: // a thousand of them are unread
			}
		}
	}
}

func (p *pipe) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = why
	for _, answer := range p.waiting {
		close(answer)
	}
	clear(p.waiting)
}

// call calls a method of the browser, or of the tab whose session is named, and decodes the result
// unless into is nil.
func (p *pipe) call(ctx context.Context, session, method string, params, into any) error {
	id := p.last.Add(1)
	text, err := json.Marshal(struct {
		ID      int64  `json:"id"`
		Session string `json:"sessionId,omitempty"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
	}{id, session, method, params})
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	if err := p.send(id, append(text, 0), answer); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	case m, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, p.ended)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case into == nil:
			return nil
		}
		return json.Unmarshal(m.Result, into)
	}
}

func (p *pipe) send(id int64, text []byte, answer chan<- message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return p.ended
	}
	p.waiting[id] = answer
	_, err := p.out.Write(text)
	return err
}

// pipes are the four ends of what a browser is driven by.
type pipes struct{ ours, theirs struct{ in, out *os.File } }

func openPipes() (p pipes, err error) {
	if p.theirs.in, p.ours.out, err = os.Pipe(); err != nil {
		return p, err
	}
	if p.ours.in, p.theirs.out, err = os.Pipe(); err != nil {
		return p, errors.Join(err, p.theirs.in.Close(), p.ours.out.Close())
	}
	return p, nil
}
