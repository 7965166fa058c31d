// SPDX-License-Identifier: Apache-2.0

// Command demo plays a day at the kiosk with the real agent on the real kernel, in
// a lab of network namespaces, and prints what it measured. It ends with status 1
// when a promise was not kept, and removes everything it made, also when it is
// interrupted. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const interrupted = 130 // what shells report for SIGINT

func main() {
	binary := flag.String("agent", "bin/hotspot-agent", "the agent's binary")
	flag.Parse()
	// Senders and sinks must not wait for a thread that the machine keeps waiting.
	runtime.GOMAXPROCS(16)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := run(ctx, *binary, newScreen(os.Stdout))
	stop()
	os.Exit(status)
}

func run(ctx context.Context, binary string, screen *screen) int {
	started := time.Now()
	err := play(ctx, binary, screen)
	switch {
	case ctx.Err() != nil:
		screen.say("Interrupted. Everything was removed.")
		return interrupted
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	screen.say("The kiosk closes: programs, namespaces and files were removed. %d of %d promises kept, in %.0f s.",
		screen.kept, screen.kept+screen.missed, time.Since(started).Seconds())
	if screen.missed > 0 {
		return 1
	}
	return 0
}

// play sets the stage, plays the day, and clears the stage.
func play(ctx context.Context, binary string, screen *screen) (err error) {
	l, err := lab.New("hs-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	// The router passes super-packets, the cables do not: what the cables carry is
	// what the agent has to count.
	k, err := l.Kiosk(lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside})
	if err != nil {
		return err
	}
	agent, err := harness.New(k, binary, fmt.Sprintf("captive: {redirect: %q}", portalURL))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Close()) }()
	day := &day{screen: screen, kiosk: k, agent: agent, ana: k.Customers[0], ben: k.Customers[1]}
	defer day.end()
	if err := day.play(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\nthe agent's log:\n%s", err, agent.Log())
	}
	return nil
}
