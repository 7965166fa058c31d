// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// metricsStopTimeout bounds the scrape that is under way when the agent stops.
const metricsStopTimeout = 5 * time.Second

// serveMetrics answers Prometheus on ln until ctx ends.
func serveMetrics(ctx context.Context, ln net.Listener, agent reporter, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(agent))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	ended := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(ended)
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsStopTimeout)
		defer cancel()
		_ = server.Shutdown(within) // what takes longer is aborted
	})()
	log.Info("metrics are served", "address", ln.Addr().String())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	<-ended // the last answer reads what is closed next
	return nil
}

// reporter has the agent's figures.
type reporter interface {
	AgentStatus(context.Context) (api.AgentStatus, error)
}

// MetricsHandler answers with the current figures, in Prometheus' text format.
func MetricsHandler(agent reporter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := agent.AgentStatus(r.Context())
		if err != nil {
			http.Error(w, "the agent's figures are not available", http.StatusServiceUnavailable)
			return
		}
		var text bytes.Buffer
		writeMetrics(&text, status)
		metrics.WriteProcessMetrics(&text)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(text.Bytes()) // a write error: the scraper went away
	})
}

// writeMetrics: every name has its unit, every count its direction and reason.
func writeMetrics(w io.Writer, s api.AgentStatus) {
	gauge(w, "hotspot_build_info", "The agent's version and the kernel it runs on.", one(1, "version", s.Version, "kernel", s.Kernel))
	gauge(w, "hotspot_start_time_seconds", "When the agent started, Unix time.", one(seconds(s.StartedAt)))
	gauge(w, "hotspot_healthy", "1 when everything works.", one(boolean(s.Health.OK)))
	gauge(w, "hotspot_health_problem", "1 for each problem that there is.", problemSamples(s.Health.Active))
	gauge(w, "hotspot_clock_sane", "1 when the wall clock is set; expiry waits until it is.", one(boolean(s.Health.ClockSane)))
	if s.Health.LastSettleAt != nil {
		gauge(w, "hotspot_last_settle_time_seconds", "When usage was last debited, Unix time.", one(seconds(*s.Health.LastSettleAt)))
	}
	gauge(w, "hotspot_interface_attached", "1 when the programs are on a client-facing interface.", interfaceSamples(s.Interfaces, func(i api.InterfaceStatus) float64 { return boolean(i.Attached) }))
	counter(w, "hotspot_interface_unprotected_seconds_total", "How long a client-facing interface was up without the programs.",
		interfaceSamples(s.Interfaces, func(i api.InterfaceStatus) float64 { return float64(i.UnprotectedMS) / 1000 }))
	gauge(w, "hotspot_devices", "Devices that are known.", one(float64(s.Counts.Devices)))
	gauge(w, "hotspot_visitors", "Devices that bought nothing, in memory only.", one(float64(s.Counts.Visitors)))
	gauge(w, "hotspot_connected_devices", "Devices with a running session.", one(float64(s.Counts.Connected)))
	gauge(w, "hotspot_clients", "Rules in the kernel.", one(float64(s.Counts.Clients)))
	gauge(w, "hotspot_clients_max", "Rules that the kernel can hold.", one(float64(s.Counts.MaxClients)))
	gauge(w, "hotspot_providers", "Registered session providers.", one(float64(s.Counts.Providers)))
	gauge(w, "hotspot_sessions", "Sessions by state.", stateSamples(s.Counts.Sessions))
	counter(w, "hotspot_events_total", "Events since the database was made.", one(float64(s.Counts.LastEvent)))
	counter(w, "hotspot_passed_frames_total", "Frames that passed.", tallySamples(s.Passes, frames))
	counter(w, "hotspot_passed_bytes_total", "Wire bytes that passed.", tallySamples(s.Passes, wireBytes))
	counter(w, "hotspot_dropped_frames_total", "Frames that were dropped.", tallySamples(s.Drops, frames))
	counter(w, "hotspot_dropped_bytes_total", "Wire bytes that were dropped.", tallySamples(s.Drops, wireBytes))
	counter(w, "hotspot_garden_answers_total", "DNS answers about names in the walled garden.", one(float64(s.Garden.Answers)))
	counter(w, "hotspot_garden_partial_answers_total", "DNS answers about names in the walled garden of which a part could not be read.", one(float64(s.Garden.Partial)))
	counter(w, "hotspot_garden_addresses_total", "Addresses in these answers that were opened.", one(float64(s.Garden.Addresses)))
	counter(w, "hotspot_garden_refused_addresses_total", "Addresses in these answers that are private or the router's own.", one(float64(s.Garden.Refused)))
	counter(w, "hotspot_answered_frames_total", "Frames that were answered instead of dropped.", tallySamples(s.Answers, frames))
}

// sample is one value of a metric with its labels, as in {reason="rate"}.
type sample struct {
	labels string
	value  float64 // exact for whole numbers up to 2^53: 9 PB
}

func gauge(w io.Writer, name, help string, samples []sample) { family(w, name, "gauge", help, samples) }
func counter(w io.Writer, name, help string, samples []sample) {
	family(w, name, "counter", help, samples)
}

func family(w io.Writer, name, kind, help string, samples []sample) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	for _, s := range samples {
		fmt.Fprintf(w, "%s%s %s\n", name, s.labels, strconv.FormatFloat(s.value, 'f', -1, 64))
	}
}

// one is a single sample; labels are names and values in turn.
func one(value float64, labels ...string) []sample {
	var pairs []string
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	if len(pairs) == 0 {
		return []sample{{value: value}}
	}
	return []sample{{labels: "{" + strings.Join(pairs, ",") + "}", value: value}}
}

func interfaceSamples(interfaces []api.InterfaceStatus, value func(api.InterfaceStatus) float64) (samples []sample) {
	for _, i := range interfaces {
		samples = append(samples, one(value(i), "interface", i.Name)...)
	}
	return samples
}

// problemSamples has one sample for all problems of a kind: two of the same labels are none.
func problemSamples(problems []api.ActiveProblem) (samples []sample) {
	for _, p := range problems {
		s := one(1, "code", p.Code, "interface", p.Interface)
		if !slices.Contains(samples, s[0]) {
			samples = append(samples, s...)
		}
	}
	return samples
}

func stateSamples(counts map[string]int) (samples []sample) {
	for _, state := range sessions.States() {
		samples = append(samples, one(float64(counts[string(state)]), "state", string(state))...)
	}
	return samples
}

func frames(c api.PacketCount) uint64    { return c.Frames }
func wireBytes(c api.PacketCount) uint64 { return c.Bytes }

func tallySamples(tallies []api.PacketCount, value func(api.PacketCount) uint64) (samples []sample) {
	for _, c := range tallies {
		samples = append(samples, one(float64(value(c)), "direction", c.Direction, "reason", c.Reason)...)
	}
	return samples
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
