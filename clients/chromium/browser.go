// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
)

// browser is a running Chromium.
type browser struct {
	*pipe
	product string // name and version
	ended   chan struct{}
}

// tab is one of its tabs.
type tab struct {
	*browser
	id      string
	session string
}

// launch starts Chromium in the customer's machine. It ends with the machine.
func launch(ctx context.Context, k *kiosk.Kiosk) (*browser, error) {
	p, err := openPipes()
	if err != nil {
		return nil, err
	}
	cmd := k.Client.Command(context.Background(), "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--remote-debugging-pipe", "--user-data-dir=/tmp/chromium", "--ignore-certificate-errors-spki-list="+k.KeyHash(), "about:blank")
	cmd.ExtraFiles = append(cmd.ExtraFiles, p.theirs.in, p.theirs.out) // descriptors 3 and 4
	err = cmd.Start()
	if err = errors.Join(err, p.theirs.in.Close(), p.theirs.out.Close()); err != nil {
		return nil, errors.Join(err, p.ours.in.Close(), p.ours.out.Close())
	}
	b := &browser{pipe: newPipe(p.ours.in, p.ours.out), ended: make(chan struct{})}
	go func() { defer close(b.ended); _ = cmd.Wait() }()
	k.OnClose(func() error { return errors.Join(p.ours.in.Close(), p.ours.out.Close()) })
	var version struct {
		Product string `json:"product"`
	}
	if err := b.call(ctx, "", "Browser.getVersion", nil, &version); err != nil {
		return nil, err
	}
	b.product = strings.Replace(strings.TrimPrefix(version.Product, "Headless"), "Chrome/", "Chromium ", 1)
	return b, b.call(ctx, "", "Target.setDiscoverTargets", map[string]any{"discover": true}, nil)
}

// open opens an empty tab.
func (b *browser) open(ctx context.Context) (*tab, error) {
	var made target
	if err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &made); err != nil {
		return nil, err
	}
	return b.attach(ctx, made.ID)
}

// attach takes hold of a tab.
func (b *browser) attach(ctx context.Context, id string) (*tab, error) {
	var attached struct {
		Session string `json:"sessionId"`
	}
	err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": id, "flatten": true}, &attached)
	return &tab{b, id, attached.Session}, err
}

// navigate goes to a page, and returns when it is loaded or has failed: its title, or the error's
// name.
func (t *tab) navigate(ctx context.Context, url string) (string, error) {
	var went struct {
		Error string `json:"errorText"`
	}
	if err := t.call(ctx, t.session, "Page.navigate", map[string]any{"url": url}, &went); err != nil {
		return "", err
	}
	if went.Error != "" {
		return strings.TrimPrefix(went.Error, "net::"), nil
	}
	return t.evaluate(ctx, `new Promise(done => {
		const look = () => done(document.title)
		document.readyState === "complete" ? look() : addEventListener("load", look)
	})`)
}

// evaluate returns the string that an expression has, or promises.
func (t *tab) evaluate(ctx context.Context, expression string) (string, error) {
	var got struct {
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := t.call(ctx, t.session, "Runtime.evaluate",
		map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &got)
	if err == nil && got.Exception != nil {
		err = fmt.Errorf("%s: %s", expression, got.Exception.Text)
	}
	return got.Result.Value, err
}

// forget drops what was reported of tabs up to now.
func (b *browser) forget() {
	for {
		select {
		case <-b.targets:
		default:
			return
		}
	}
}

// another waits for another tab, and returns its id: none after a while.
func (t *tab) another(ctx context.Context, patience time.Duration) (id string, err error) {
	late := time.After(patience)
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-late:
			return "", nil
		case seen := <-t.targets:
			if seen.Type == "page" && seen.ID != t.id && strings.HasPrefix(seen.URL, "http") {
				return seen.ID, nil
			}
		}
	}
}

// titled waits until the tab shows a complete page with a title, by itself.
func (t *tab) titled(ctx context.Context, title string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const look = 10 * time.Millisecond
	for {
		seen, err := t.evaluate(ctx, `document.readyState === "complete" ? document.title : ""`)
		if seen == title || errors.Is(err, io.EOF) || ctx.Err() != nil {
			return seen, err
		}
		select { // in between documents there is none to evaluate in
		case <-ctx.Done():
			return seen, nil
		case <-time.After(look):
		}
	}
}
