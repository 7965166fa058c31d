// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// PlaneOptions is the kernel's part of a configuration.
func PlaneOptions(cfg config.Config, log *slog.Logger) linux.Options {
	return linux.Options{
		BPFFS:          cfg.BPFFS,
		Interfaces:     cfg.Interfaces,
		MaxClients:     cfg.MaxClients,
		Portals:        cfg.Portals,
		Garden:         cfg.Garden,
		Captive:        cfg.Captive,
		Attach:         cfg.Attach,
		Limiter:        cfg.Limiter,
		TCPWindowClamp: cfg.TCPWindowClamp,
		Uplink:         cfg.Uplink,
		Bind:           cfg.Bind == sessions.BindIP,
		Log:            log,
	}
}

// managerConfig is the rules' part of a configuration.
func managerConfig(cfg config.Config, plane *linux.Dataplane, log *slog.Logger) manager.Config {
	return manager.Config{
		GlobalDownBPS:     cfg.GlobalDownBPS,
		GlobalUpBPS:       cfg.GlobalUpBPS,
		LowBalancePercent: cfg.LowBalancePercent,
		IdleTimeout:       cfg.IdleTimeout,
		Checkpoint:        cfg.Checkpoint,
		ForgetDevices:     cfg.ForgetDevices,
		KeepSessions:      cfg.KeepSessions,
		ResumeAfterReboot: cfg.AfterReboot == config.RebootResume,
		Bind:              cfg.Bind,
		Locate:            plane.NeighborsOf,
		Trusted:           cfg.Trusted,
		Blocked:           cfg.Blocked,
		RouterMACs:        plane.RouterMACs,
		Dial:              server.DialProvider,
		Log:               log,
	}
}

// securePortal is the portal's page where devices may be sent by RFC 8908: over TLS.
func securePortal(cfg config.Config) string {
	if strings.HasPrefix(cfg.Captive.Redirect, "https://") {
		return cfg.Captive.Redirect
	}
	return ""
}

func access(cfg config.Config) server.Access {
	return server.Access{Operators: cfg.SocketGroup, Viewers: cfg.ViewerGroup}
}
