// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// fixture is a kiosk whose router runs the agent.
type fixture struct {
	every time.Duration // between checkpoints
	kiosk *lab.Kiosk
	agent *harness.Agent
	api   *client
}

func newFixture(binary string, customers, maxClients int, checkpoint time.Duration) (b *fixture, err error) {
	l, err := lab.New("ctl")
	if err != nil {
		return nil, err
	}
	b = &fixture{every: checkpoint}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(), l.Close())
		}
	}()
	if b.kiosk, err = l.Kiosk(lab.KioskConfig{Customers: customers}); err != nil {
		return nil, err
	}
	// Each write is logged with its peer; a production log goes to a pipe as well.
	settings := []string{fmt.Sprintf("max_clients: %d", maxClients), "checkpoint: " + checkpoint.String()}
	if b.agent, err = harness.New(b.kiosk, binary, settings...); err != nil {
		return nil, err
	}
	if err = b.agent.Start(); err != nil {
		return nil, err
	}
	b.api = &client{b.agent.API()}
	return b, nil
}

func (b *fixture) close() error {
	var errs []error
	if b.api != nil {
		b.api.Close()
	}
	if b.agent != nil {
		errs = append(errs, b.agent.Close())
	}
	if b.kiosk != nil {
		errs = append(errs, b.kiosk.Close())
	}
	return errors.Join(errs...)
}
