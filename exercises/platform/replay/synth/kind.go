// What is a counter, a gauge, a time, a target's health: types where the recording has them, names and values elsewhere.

package synth

import (
	"math"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Kind decides which rule of the synthesis a series follows.
type Kind int

// The kinds.
const (
	Gauge Kind = iota
	// Counter only grows, except when its process begins again.
	Counter
	// Health is what Prometheus itself says of a scrape: `up`, `scrape_*`.
	Health
	// Time is a point in time in Unix seconds, such as process_start_time_seconds.
	Time
	// Age grows by one a second, such as an uptime.
	Age
)

// kindOf judges by type and name alone.
func kindOf(l labels.Labels, types map[string]string) Kind {
	name := l.Get(labels.MetricName)
	if name == "up" || strings.HasPrefix(name, "scrape_") {
		return Health
	}
	switch family, suffix := familyOf(name); {
	case types[name] == "counter":
		return Counter
	case types[name] == "gauge":
		return Gauge
	case suffix != "" && (types[family] == "histogram" || types[family] == "summary"):
		return Counter
	case suffix == "_total" && (types[family] == "counter" || types[family] == ""):
		return Counter
	case types[name] == "summary":
		return Gauge // its quantiles
	case suffix == "_bucket" && l.Get("le") != "":
		return Counter
	case suffix == "_count" || suffix == "_sum":
		return Counter
	}
	return Gauge
}

// familyOf splits a name into its family and the suffix of a counter.
func familyOf(name string) (family, suffix string) {
	for _, s := range []string{"_total", "_bucket", "_count", "_sum"} {
		if f, ok := strings.CutSuffix(name, s); ok {
			return f, s
		}
	}
	return name, ""
}

// A time lies within this many seconds of the wall clock; no other gauge has values of more than a billion that do.
const nearNow = 400 * 24 * 3600

// refine tells times and ages from other gauges by their values.
func refine(k Kind, c *Column, t *Tape) Kind {
	if k != Gauge {
		return k
	}
	seen, times := 0, 0
	for row := range c.Present {
		if c.Present[row] {
			seen++
			if math.Abs(c.Value[row]-t.Unix(row)) < nearNow {
				times++
			}
		}
	}
	// The wall clock of a recording without one is near zero, where every small gauge would be a time.
	if seen > 0 && times == seen && t.Unix(0) > 1e9 {
		return Time
	}
	if isAge(c, t) {
		return Age
	}
	return Gauge
}

// isAge: nearly every step between two rows is as long as the row itself.
func isAge(c *Column, t *Tape) bool {
	step := float64(t.StepMS) / 1000
	steps, ticks, total := 0, 0, 0.0
	for row := 1; row < len(c.Present); row++ {
		if c.Present[row] && c.Present[row-1] {
			d := c.Value[row] - c.Value[row-1]
			steps++
			total += d
			if d > 0 && d < 2.5*step {
				ticks++
			}
		}
	}
	return steps >= 20 && float64(ticks) > 0.9*float64(steps) && math.Abs(total/float64(steps)-step) < 0.1*step
}
