// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
)

// ConnectAll buys a session for every device, the same for all, and connects it.
// The session is the API's JSON without its device.
func (a *Agent) ConnectAll(ctx context.Context, devices []string, session map[string]any) error {
	const workers = 32
	api := a.API()
	defer api.Close()
	queue := make(chan string)
	failed := make([]error, workers)
	var working sync.WaitGroup
	for w := range failed {
		working.Go(func() {
			for device := range queue {
				if failed[w] == nil {
					failed[w] = connect(ctx, api, device, session)
				}
			}
		})
	}
	for _, device := range devices {
		queue <- device
	}
	close(queue)
	working.Wait()
	return errors.Join(failed...)
}

func connect(ctx context.Context, api *API, device string, session map[string]any) error {
	session = maps.Clone(session)
	session["device"] = device
	if err := api.Call(ctx, http.MethodPost, "/sessions", session, nil); err != nil {
		return err
	}
	return api.Call(ctx, http.MethodPost, fmt.Sprintf("/devices/%s/connect", device), nil, nil)
}
