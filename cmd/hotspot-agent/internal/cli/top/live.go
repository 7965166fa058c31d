// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

const (
	refreshEvery   = time.Second     // how often the table is read from the agent
	refreshTimeout = 5 * time.Second // for one reading
)

// live shows the table on a terminal until a key or ctx ends it.
func live(ctx context.Context, client *api.Client, in, out *os.File, m model) error {
	s, err := openScreen(in, out)
	if err != nil {
		return err
	}
	defer s.close()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	keys, answers := s.keys(), make(chan answer, 1)
	refresh := time.NewTimer(refreshEvery)
	defer refresh.Stop()
	for m = m.resized(s.size()); ; {
		s.draw(m.view())
		select {
		case <-ctx.Done():
			return nil
		case k := <-keys:
			var quit bool
			if m, quit = m.pressed(k); quit {
				return nil
			}
		case <-resized:
			m = m.resized(s.size())
		case <-refresh.C:
			go func() { answers <- read(ctx, client) }()
		case a := <-answers:
			m = m.refreshed(a)
			refresh.Reset(refreshEvery)
		}
	}
}

func read(ctx context.Context, client *api.Client) answer {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	connected, err := fetchConnected(ctx, client)
	return answer{connected, time.Now(), err}
}
