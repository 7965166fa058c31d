// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
)

// Provider is a registered session provider.
type Provider struct {
	Name   string `json:"name"`
	Socket string `json:"socket"` // Unix socket on which its process answers
}

type providerCalls struct{ agent *transport }

// Providers returns the registered providers in the order in which they are asked.
func (c providerCalls) Providers(ctx context.Context) ([]Provider, error) {
	return fetch[[]Provider](ctx, c.agent, http.MethodGet, "/v1/providers", nil)
}

// RegisterProvider registers a provider, or replaces the one of its name.
func (c providerCalls) RegisterProvider(ctx context.Context, provider Provider) (Provider, error) {
	return fetch[Provider](ctx, c.agent, http.MethodPost, "/v1/providers", provider)
}

// UnregisterProvider forgets a provider.
func (c providerCalls) UnregisterProvider(ctx context.Context, name string) error {
	_, err := c.agent.Do(ctx, http.MethodDelete, "/v1/providers/"+url.PathEscape(name), nil)
	return err
}
