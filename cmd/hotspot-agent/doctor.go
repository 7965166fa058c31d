// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check kernel, hooks, offloads, clock, pins, database; say what to do (root)",
		Description: `Works with and without a running agent, and changes nothing. The exit status is 1
when a check failed; a warning is no failure.

   hotspot-agent doctor --config /etc/hotspot-agent/config.yaml`,
		Flags:  []cli.Flag{configFlag()},
		Action: a.doctor,
	}
}

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warn or fail
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"` // what to do
}

const (
	resultOK   = "ok"
	resultWarn = "warn"
	resultFail = "fail"
)

func (a *app) doctor(c *cli.Context) error {
	cfg, findings := a.diagnoseConfig(c)
	findings = append(findings, diagnoseKernel(cfg)...)
	findings = append(findings, diagnoseDatabase(c.Context, cfg)...)
	findings = append(findings, diagnoseAgent(c.Context, cfg.Socket)...)
	if err := show(a, c, findings, printFindings); err != nil {
		return err
	}
	return verdict(findings)
}

// verdict fails when a finding does, and names the checks.
func verdict(findings []finding) error {
	var failed []string
	for _, f := range findings {
		if f.Result == resultFail {
			failed = append(failed, f.Check)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &failure{
		err:  fmt.Errorf("%s failed: %s", count(len(failed), "check", "checks"), strings.Join(failed, ", ")),
		hint: "do what the advice says and run doctor again",
	}
}

func printFindings(w io.Writer, findings []finding) {
	widest := 0
	for _, f := range findings {
		widest = max(widest, len(f.Check))
	}
	for _, f := range findings {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Result, widest, f.Check, printable(oneLine(f.Detail)))
		if f.Advice != "" && f.Result != resultOK {
			fmt.Fprintf(w, "      %-*s  -> %s\n", widest, "", oneLine(f.Advice))
		}
	}
}

// diagnoseConfig falls back to the defaults, so that the other checks can go on.
func (a *app) diagnoseConfig(c *cli.Context) (config.Config, []finding) {
	path := c.String("config")
	cfg, err := a.loadOrDefault(c)
	if err != nil {
		fallback := config.Default()
		fallback.Socket = c.String("socket")
		return fallback, []finding{{
			Check: "config", Result: resultFail, Detail: err.Error(),
			Advice: "mend the file; config.example.yaml shows every key. The checks below use the defaults",
		}}
	}
	return cfg, []finding{{Check: "config", Result: resultOK, Detail: configDetail(path, cfg)}}
}

func configDetail(path string, cfg config.Config) string {
	if _, err := os.Stat(path); err != nil {
		path = "the defaults, there is no " + path
	}
	return fmt.Sprintf("%s: interfaces %s, at most %d clients", path, strings.Join(cfg.Interfaces, ", "), cfg.MaxClients)
}

func diagnoseKernel(cfg config.Config) []finding {
	if uid := os.Geteuid(); uid != 0 {
		return []finding{{
			Check: "kernel", Result: resultFail,
			Detail: fmt.Sprintf("uid %d may not see programs, maps and hooks", uid), Advice: "run doctor as root",
		}}
	}
	var findings []finding
	for _, f := range dataplane.Diagnose(daemon.PlaneOptions(cfg, slog.New(slog.DiscardHandler))) {
		findings = append(findings, finding{Check: f.Check, Result: string(f.Level), Detail: f.Detail, Advice: f.Advice})
	}
	return findings
}

func diagnoseDatabase(ctx context.Context, cfg config.Config) []finding {
	findings := append([]finding{checkDatabase(ctx, cfg.Database())}, checkAside(cfg.Database())...)
	return append(findings, checkDisk(cfg.StateDir))
}
