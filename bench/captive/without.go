// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
)

// withoutAgent has a device ask while the agent is killed, and while another one with
// other programs takes over from it, as an upgrade does.
func (p plan) withoutAgent(ctx context.Context, r *router, out *report.Report) error {
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"with the agent", func() error { return pause(ctx, p.without) }},
		{"agent killed", func() error { return errors.Join(r.agent.Kill(), pause(ctx, p.without)) }},
		{"agent started again", r.agent.Start},
		{"agent stopped, started with other programs", func() error {
			return errors.Join(otherAnswers(r.agent), r.agent.Stop(), r.agent.Start(), pause(ctx, p.without))
		}},
	} {
		stop := r.askSteadily(1, askEvery)
		err := part.do()
		stop().report(part.name, ours, "without the agent", out)
		if err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// otherAnswers changes the configuration, so that the next start loads other programs.
func otherAnswers(daemon *harness.Agent) error {
	text, err := os.ReadFile(daemon.Config())
	if err != nil {
		return err
	}
	const mode = 0o600
	return os.WriteFile(daemon.Config(), []byte(strings.Replace(string(text), "https: alert", "https: reset", 1)), mode)
}
