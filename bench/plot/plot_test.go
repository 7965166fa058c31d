// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

func TestWriteDrawsWhatThereIs(t *testing.T) {
	dir := t.TempDir()
	rows := []report.Row{
		{Study: "limiter", Cell: "a", At: 1, Subject: "fair", Metric: "goodput", Value: 0.99, Goal: report.AtLeast(0.97)},
		{Study: "limiter", Cell: "b", At: 10, Subject: "htb", Metric: "goodput", Value: 0.98},
		{Study: "limiter", Cell: "b", At: 10, Subject: "htb", Metric: "echo delay added", Value: -0.1}, // below a logarithmic axis
		{Study: "limiter", Cell: "c", At: 1, Subject: "fair", Metric: "udp off its speed", Value: 0.1},
		{Study: "limiter", Cell: "c", At: 1, Subject: "htb", Metric: "udp off its speed", Value: 0.2},
		{Study: "other", Cell: "c", Subject: "fair", Metric: "goodput", Value: 1},
	}
	if err := Write(rows, dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
		if err := wellFormed(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	want := []string{"limiter-echo-delay.svg", "limiter-goodput.svg", "limiter-udp.svg"}
	if len(names) != len(want) {
		t.Fatalf("got %q, want %q", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("got %q, want %q", names, want)
		}
	}
}

func wellFormed(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	decoder := xml.NewDecoder(file)
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestRatiosAreNotDrawnWithWhatTheyAreRatiosOf(t *testing.T) {
	f := figure{study: "s", metric: "m"}
	rows := []report.Row{{Study: "s", Metric: "m", Value: 1}, {Study: "s", Metric: "m", Value: 2, Versus: "other"}}
	if got := f.of(rows); len(got) != 1 || got[0].Value != 1 {
		t.Errorf("got %+v", got)
	}
}
