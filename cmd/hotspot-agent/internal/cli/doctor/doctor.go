// SPDX-License-Identifier: Apache-2.0

// Package doctor checks what the agent needs, and what it does.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/doctor"
)

// Command is "doctor".
func Command(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check kernel, hooks, forwarding, offloads, clock, pins, database, the way to the portal; say what to do (root)",
		Description: `Works with and without a running agent, and changes nothing. Each line has a result (ok,
info, warn or fail), the check and what it found; unless it is ok, below it why that
matters and what mends it. Where captive.redirect is set it goes a phone's way to the
portal, which takes ten seconds at most.

Exit status: 0 fine, warnings included; 1 a check failed: there is something to do;
2 usage; 3 customers can slip through unpaid, pay for nothing, or are cut off.

   hotspot-agent doctor --config /etc/hotspot-agent/config.yaml`,
		Flags:  []cli.Flag{command.ConfigFlag()},
		Action: e.Action(examine),
	}
}

// finding is the result of one check.
type finding struct {
	Check   string `json:"check"`
	Result  string `json:"result"`  // ok, info, warn or fail
	Exposed bool   `json:"exposed"` // customers can slip through unpaid, pay for nothing, or are cut off
	Detail  string `json:"detail"`
	Why     string `json:"why"`              // it matters
	Advice  string `json:"advice,omitempty"` // what to do
}

const (
	resultOK   = "ok"
	resultInfo = "info"
	resultWarn = "warn"
	resultFail = "fail"
)

// reasons say why the checks of this package matter; those of the kernel have their own.
var reasons = map[string]string{
	"config":   "the agent does not start with a file that has mistakes",
	"kernel":   "programs, tables and hooks are read as root",
	"database": "it holds what was sold",
	"disk":     "purchases and usage are stored there",
	"agent":    "without it nothing is sold, and nothing is settled",
}

func examine(e command.Env, c *cli.Context) error {
	cfg, findings := diagnoseConfig(e, c)
	findings = append(findings, diagnoseKernel(cfg)...)
	findings = append(findings, diagnoseCaptive(e, c, cfg)...)
	findings = append(findings, diagnoseDatabase(c.Context, cfg)...)
	findings = append(findings, diagnoseAgent(c.Context, cfg.Socket)...)
	for i := range findings {
		findings[i].Why = cmp.Or(findings[i].Why, reasons[findings[i].Check], reasonOfCaptive(findings[i].Check))
	}
	if err := output.Show(e.Stdout, c, findings, printFindings); err != nil {
		return err
	}
	return verdict(findings)
}

// verdict fails when a finding does, and names the checks.
func verdict(findings []finding) error {
	var failed []string
	status := exit.Failed
	for _, f := range findings {
		if f.Result == resultFail {
			failed = append(failed, f.Check)
		}
		if f.Exposed {
			status = exit.Exposed
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &exit.Failure{
		Err:    fmt.Errorf("%s failed: %s", output.Count(len(failed), "check", "checks"), strings.Join(failed, ", ")),
		Hint:   "do what the advice says and run doctor again",
		Status: status,
	}
}

// printFindings has the result first on the line and the check second, for grep.
func printFindings(w io.Writer, findings []finding) {
	widest := 0
	for _, f := range findings {
		widest = max(widest, len(f.Check))
	}
	for _, f := range findings {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Result, widest, f.Check, output.Printable(output.OneLine(f.Detail)))
		if f.Result == resultOK {
			continue
		}
		fmt.Fprintf(w, "      %-*s  why: %s\n", widest, "", f.Why)
		if f.Advice != "" {
			fmt.Fprintf(w, "      %-*s  -> %s\n", widest, "", output.OneLine(f.Advice))
		}
	}
}

// diagnoseConfig falls back to the defaults, so that the other checks run.
func diagnoseConfig(e command.Env, c *cli.Context) (config.Config, []finding) {
	path := c.String("config")
	cfg, err := e.LoadConfigOrDefault(c)
	if err != nil {
		fallback := config.Default()
		fallback.Socket = c.String("socket")
		return fallback, []finding{{
			Check: "config", Result: resultFail, Detail: err.Error(),
			Advice: "correct the file; config.example.yaml shows every key. The checks below use the defaults",
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
	for _, f := range doctor.Diagnose(daemon.PlaneOptions(cfg, slog.New(slog.DiscardHandler))) {
		one := finding{Check: f.Check, Result: string(f.Level), Detail: f.Detail, Why: f.Why(), Advice: f.Advice}
		if f.Level == doctor.Exposed {
			one.Result, one.Exposed = resultFail, true
		}
		findings = append(findings, one)
	}
	return findings
}

func diagnoseDatabase(ctx context.Context, cfg config.Config) []finding {
	findings := append([]finding{checkDatabase(ctx, cfg.Database())}, checkAside(cfg.Database())...)
	return append(findings, checkDisk(cfg.StateDir))
}
