// Package synth makes days out of seconds: it turns the recording of a live exam into series in production time, quiet or with
// an incident. Each rule of the synthesis has a file of its own:
//
//	tape.go      the recording as rows, one row a second for all series together (a)
//	kind.go      what is a counter, a gauge, a time, a target's health
//	counter.go   increments, resets, and what a partial fault makes of them (c)
//	pool.go      what healthy is made of, and which errors are strays
//	play.go      which row is played when: onset and offset at real speed, the steady part stretched (b)
//	clock.go     times are moved along, ages and leaks go on in a straight line (d)
//	rhythm.go    rates follow the time of day (c)
//	scrape.go    when a target is scraped
//	strangers.go what a fault says nothing about
//	record.go    what a scrape writes down
//	trace.go     all of it together, into a store
package synth

import (
	"math"
	"sort"

	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
)

// Tape is a recording in rows: row k holds what every series showed in second k, so that whatever takes a row takes buckets,
// counts and totals that belong together.
type Tape struct {
	// StepMS is how long a row lasts, StartMS when row 0 begins (in the recording's time), UnixMS the wall clock at t = 0.
	StepMS, StartMS, UnixMS int64
	Rows                    int
	Columns                 []Column
}

// Column is one series on the tape.
type Column struct {
	Labels labels.Labels
	Kind   Kind
	// Target is the index of what was scraped in one go; Job names the scrape job.
	Target int
	Job    string
	// Value is the newest value at each row, Present whether the series was offered then.
	Value   []float64
	Present []bool
	// Step is a counter's increment in each row; Reset marks rows in which it began again.
	Step  []float64
	Reset []bool
	// Moved marks rows in which a time changed.
	Moved []bool
}

// NewTape lays out the series that keep says yes to. Series are in order of their labels, whatever order the input has.
func NewTape(in *wire.Input, keep func(labels.Labels) bool) *Tape {
	rec := &in.Recording
	tape := &Tape{StepMS: rec.IntervalMS, UnixMS: rec.StartedUnixMS}
	type raw struct {
		labels labels.Labels
		s      *wire.Series
	}
	var all []raw
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range rec.Series {
		s := &rec.Series[i]
		if len(s.Samples) == 0 {
			continue
		}
		sort.SliceStable(s.Samples, func(a, b int) bool { return s.Samples[a].T < s.Samples[b].T })
		first, last = min(first, s.Samples[0].T), max(last, s.Samples[len(s.Samples)-1].T)
		if l := labels.FromMap(s.Labels); keep(l) {
			all = append(all, raw{l, s})
		}
	}
	if len(all) == 0 {
		return tape
	}
	sort.Slice(all, func(a, b int) bool { return labels.Compare(all[a].labels, all[b].labels) < 0 })
	tape.StartMS = first
	tape.Rows = int((last-first)/tape.StepMS) + 2

	targets := map[string]int{}
	for _, r := range all {
		key := r.labels.Get("job") + "\xff" + r.labels.Get("instance")
		if _, ok := targets[key]; !ok {
			targets[key] = len(targets)
		}
		c := Column{Labels: r.labels, Target: targets[key], Job: r.labels.Get("job"), Kind: kindOf(r.labels, rec.Types)}
		tape.lay(&c, r.s.Samples)
		c.Kind = refine(c.Kind, &c, tape)
		switch c.Kind {
		case Counter:
			c.Step, c.Reset = increments(c.Value, c.Present)
		case Time, Age:
			c.Moved = moves(&c, tape)
		}
		tape.Columns = append(tape.Columns, c)
	}
	return tape
}

// lay puts samples into rows. A target that is scraped every n rows is present in the rows between its scrapes too.
func (t *Tape) lay(c *Column, samples []wire.Sample) {
	c.Value, c.Present = make([]float64, t.Rows), make([]bool, t.Rows)
	every := scrapedEvery(samples, t.StepMS)
	// A target's scrapes come at the same moment of each second; rounding about that moment keeps jitter out of the rows.
	phase := (samples[0].T - t.StartMS) % t.StepMS
	for i, s := range samples {
		row := int((s.T - t.StartMS - phase + t.StepMS/2) / t.StepMS)
		until := min(row+every, t.Rows)
		if i+1 < len(samples) {
			next := int((samples[i+1].T - t.StartMS - phase + t.StepMS/2) / t.StepMS)
			if next > row {
				until = min(until, next)
			}
		}
		for k := row; k < until; k++ {
			c.Value[k], c.Present[k] = s.V, true
		}
	}
}

// scrapedEvery says how many rows lie between the scrapes of a target that answers slowly: the median.
func scrapedEvery(samples []wire.Sample, stepMS int64) int {
	if len(samples) < 3 {
		return 1
	}
	var gaps []int64
	for i := 1; i < len(samples); i++ {
		gaps = append(gaps, samples[i].T-samples[i-1].T)
	}
	sort.Slice(gaps, func(a, b int) bool { return gaps[a] < gaps[b] })
	return max(1, int((gaps[len(gaps)/2]+stepMS/2)/stepMS))
}

// Row is the row of a moment of the recording.
func (t *Tape) Row(ms int64) int {
	return max(0, min(t.Rows, int((ms-t.StartMS)/t.StepMS)))
}

// Unix is the wall clock of a row, in seconds.
func (t *Tape) Unix(row int) float64 {
	return float64(t.UnixMS+t.StartMS+int64(row)*t.StepMS) / 1000
}
