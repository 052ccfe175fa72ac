// Package wire holds what goes in and out of the replay program: one JSON object in, JSON lines out. The grader has the same
// types; a field that is added here needs a new `format` only where an old program would misunderstand it.
package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"sort"
	"strconv"
)

// Format is the version of the input and of the output that this program speaks.
const Format = 1

// Input is everything a replay depends on. Nothing else does: no network, no clock, no environment.
type Input struct {
	Format int `json:"format"`
	// Seed decides noise and onsets. Any text.
	Seed string `json:"seed"`
	// Files are the candidate's text files by their path in the workspace.
	Files map[string]string `json:"files"`
	// Prometheus and Alertmanager are the paths of the two main configuration files among Files.
	Prometheus   string `json:"prometheus"`
	Alertmanager string `json:"alertmanager"`
	// Urgencies say which webhook address means which urgency: "page", "ticket", "heartbeat".
	Urgencies map[string][]string `json:"urgencies"`
	Recording Recording           `json:"recording"`
	Windows   []Window            `json:"windows"`
	// Noise are the spans in which the grader's own control measurements saw a disturbed host; no healthy sample is taken
	// from them.
	Noise  []Span  `json:"noise,omitempty"`
	Rhythm *Rhythm `json:"rhythm,omitempty"`
	Traces []Trace `json:"traces"`
	// Queries are dashboard queries, their variables already filled in.
	Queries []Query `json:"queries,omitempty"`
	Limits  Limits  `json:"limits"`
	// Day is the first day of the traces' calendar (UTC, YYYY-MM-DD); onsets fall on it. Default: DefaultDay.
	Day string `json:"day,omitempty"`
	// WarmUpMinutes is how much quiet history precedes Day. Default: three days.
	WarmUpMinutes int `json:"warm_up_minutes,omitempty"`
}

// DefaultDay is a Wednesday, so that neither weekend nor month's end decides what time intervals do.
const DefaultDay = "2026-03-04"

// Recording is what the shadow Prometheus scraped through the candidate's own scrape configuration.
type Recording struct {
	// IntervalMS is the shadow's scrape interval.
	IntervalMS int64 `json:"interval_ms"`
	// StartedUnixMS is the wall clock at t = 0 of all samples, windows and spans; 0 where these are Unix times already.
	StartedUnixMS int64 `json:"started_unix_ms,omitempty"`
	// Types are the metric types by metric name, as the shadow's /api/v1/metadata says ("counter", "gauge", "histogram",
	// "summary"). Names that are missing are judged by their suffix.
	Types  map[string]string `json:"types,omitempty"`
	Series []Series          `json:"series"`
}

// Series is one recorded series. A gap means that its target did not offer it then; the target's `up` is 0 if it was down.
type Series struct {
	Labels  map[string]string `json:"labels"`
	Samples []Sample          `json:"samples"`
}

// Sample is written [t_ms, value]; the value is a number, or a string as in Prometheus' API ("NaN", "+Inf", "1.5").
type Sample struct {
	T int64
	V float64
}

// UnmarshalJSON reads a pair.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return fmt.Errorf("a sample is [t_ms, value]: %w", err)
	}
	t, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil {
		return fmt.Errorf("time of a sample: %w", err)
	}
	s.T = int64(math.Round(t))
	text := string(pair[1])
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if s.V, err = strconv.ParseFloat(text, 64); err != nil {
		return fmt.Errorf("value of a sample: %w", err)
	}
	return nil
}

// MarshalJSON writes a pair; values that JSON has no number for become strings.
func (s Sample) MarshalJSON() ([]byte, error) {
	if math.IsNaN(s.V) || math.IsInf(s.V, 0) {
		return []byte(fmt.Sprintf("[%d,%q]", s.T, strconv.FormatFloat(s.V, 'g', -1, 64))), nil
	}
	return []byte(fmt.Sprintf("[%d,%s]", s.T, strconv.FormatFloat(s.V, 'g', -1, 64))), nil
}

// Span is [from_ms, to_ms).
type Span [2]int64

// Kinds of windows.
const (
	Healthy   = "healthy"
	Signature = "signature"
)

// Window is a stretch of the recording with one meaning.
type Window struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	FromMS int64  `json:"from_ms"`
	ToMS   int64  `json:"to_ms"`
	// SteadyFromMS and SteadyToMS bound the part that is stretched. What is before is the onset, what is after the offset;
	// both play at real speed. Default: the onset is the first third, at most 10 s, and there is no offset.
	SteadyFromMS int64 `json:"steady_from_ms,omitempty"`
	SteadyToMS   int64 `json:"steady_to_ms,omitempty"`
}

// Rhythm scales the rates of all counters over the day: 1 at PeakHour (UTC), Low twelve hours away, a cosine in between.
type Rhythm struct {
	Low      float64 `json:"low"`
	PeakHour float64 `json:"peak_hour"`
}

// DefaultRhythm is used where the input declares none.
var DefaultRhythm = Rhythm{Low: 0.5, PeakHour: 14}

// Trace is one story in production time: an incident with a twin, or a quiet day (no signature).
type Trace struct {
	ID string `json:"id"`
	// Signature names the window whose mark is played; empty for a quiet trace.
	Signature string `json:"signature,omitempty"`
	// Share is how much of the traffic meets the fault, 0 < share <= 1. Default 1.
	Share float64 `json:"share,omitempty"`
	// RampMinutes is how long the share takes to grow from nothing. Default 0.
	RampMinutes float64 `json:"ramp_minutes,omitempty"`
	// BeforeMinutes of healthy time are shown before the onset. Default 30.
	BeforeMinutes   float64 `json:"before_minutes,omitempty"`
	DurationMinutes float64 `json:"duration_minutes"`
	AfterMinutes    float64 `json:"after_minutes,omitempty"`
	// OnsetMinutes fixes the onset, counted from midnight of Day. Default: from the seed, anywhere in the day; midnight for
	// a quiet trace.
	OnsetMinutes *float64 `json:"onset_minutes,omitempty"`
	// Blemishes are the declared imperfections of a quiet trace.
	Blemishes []Blemish `json:"blemishes,omitempty"`
}

// Blemish is a small thing that happens on a good day.
type Blemish struct {
	Signature string  `json:"signature"`
	Share     float64 `json:"share,omitempty"`
	// AtMinutes is counted from the trace's begin. Default: from the seed.
	AtMinutes *float64 `json:"at_minutes,omitempty"`
	// DurationSeconds, 0 for the whole trace.
	DurationSeconds float64 `json:"duration_seconds,omitempty"`
}

// Query is a dashboard query.
type Query struct {
	ID   string `json:"id"`
	Expr string `json:"expr"`
}

// Limits bound what a submission may cost. Zero means the default.
type Limits struct {
	// Rules is how many rules there may be. Default 200.
	Rules int `json:"rules,omitempty"`
	// Samples is how many samples one evaluation may hold in memory. Default 20,000,000.
	Samples int `json:"samples,omitempty"`
	// Series is how many series all rules together may record. Default 20,000.
	Series int `json:"series,omitempty"`
	// Played is how many samples of quiet time all rules and queries together may look at; each takes eight bytes, and as
	// much again in the traces. Default 100,000,000.
	Played int64 `json:"played,omitempty"`
	// RuleSeconds is how much processor time one rule may take, all traces together. Default 45.
	RuleSeconds float64 `json:"rule_seconds,omitempty"`
	// Seconds is how long all rules and queries together may take, by the clock. Default 600. What is given up for a limit
	// in seconds depends on the machine; nothing else in the output does.
	Seconds float64 `json:"seconds,omitempty"`
}

// Check completes the defaults and says what is wrong with an input, in the grader's terms: such an error is never the
// candidate's.
func (in *Input) Check() error {
	if in.Format != Format {
		return fmt.Errorf("input: `format` is %d, this program reads %d", in.Format, Format)
	}
	if in.Recording.IntervalMS <= 0 {
		return fmt.Errorf("input: `recording.interval_ms` must be positive")
	}
	windows := map[string]Window{}
	healthy := 0
	for i := range in.Windows {
		w := &in.Windows[i]
		if w.Kind != Healthy && w.Kind != Signature {
			return fmt.Errorf("input: window `%s`: kind `%s` is neither `healthy` nor `signature`", w.ID, w.Kind)
		}
		if _, twice := windows[w.ID]; twice {
			return fmt.Errorf("input: window `%s` is there twice", w.ID)
		}
		if w.ToMS <= w.FromMS {
			return fmt.Errorf("input: window `%s` ends before it begins", w.ID)
		}
		if w.SteadyFromMS == 0 {
			w.SteadyFromMS = w.FromMS + min((w.ToMS-w.FromMS)/3, 10_000)
		}
		if w.SteadyToMS == 0 {
			w.SteadyToMS = w.ToMS
		}
		if w.SteadyFromMS < w.FromMS || w.SteadyToMS > w.ToMS || w.SteadyFromMS >= w.SteadyToMS {
			return fmt.Errorf("input: window `%s`: the steady part does not lie in it", w.ID)
		}
		if w.Kind == Healthy {
			healthy++
		}
		windows[w.ID] = *w
	}
	if healthy == 0 {
		return fmt.Errorf("input: there is no healthy window")
	}
	if err := in.checkTraces(windows); err != nil {
		return err
	}
	if in.Rhythm == nil {
		in.Rhythm = &DefaultRhythm
	}
	if in.Rhythm.Low <= 0 || in.Rhythm.Low > 1 {
		return fmt.Errorf("input: `rhythm.low` must be in (0, 1]")
	}
	if in.Day == "" {
		in.Day = DefaultDay
	}
	if in.WarmUpMinutes == 0 {
		in.WarmUpMinutes = 3 * 24 * 60
	}
	in.Limits.defaults()
	in.Prometheus, in.Alertmanager = path.Clean(in.Prometheus), path.Clean(in.Alertmanager)
	return nil
}

func (in *Input) checkTraces(windows map[string]Window) error {
	signature := func(where, id string, share *float64) error {
		if windows[id].Kind != Signature {
			return fmt.Errorf("input: %s: there is no signature window `%s`; there are %v", where, id, known(windows))
		}
		if *share == 0 {
			*share = 1
		}
		if *share < 0 || *share > 1 {
			return fmt.Errorf("input: %s: share %v is not in (0, 1]", where, *share)
		}
		return nil
	}
	seen := map[string]bool{}
	for i := range in.Traces {
		t := &in.Traces[i]
		where := fmt.Sprintf("trace `%s`", t.ID)
		if seen[t.ID] {
			return fmt.Errorf("input: %s is there twice", where)
		}
		seen[t.ID] = true
		if t.DurationMinutes <= 0 {
			return fmt.Errorf("input: %s: `duration_minutes` must be positive", where)
		}
		if t.BeforeMinutes == 0 {
			t.BeforeMinutes = 30
		}
		if t.Signature != "" {
			if err := signature(where, t.Signature, &t.Share); err != nil {
				return err
			}
		}
		for j := range t.Blemishes {
			if err := signature(where, t.Blemishes[j].Signature, &t.Blemishes[j].Share); err != nil {
				return err
			}
		}
	}
	return nil
}

func known(windows map[string]Window) []string {
	var ids []string
	for id, w := range windows {
		if w.Kind == Signature {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids
}

func (l *Limits) defaults() {
	if l.Rules == 0 {
		l.Rules = 200
	}
	if l.Samples == 0 {
		l.Samples = 20_000_000
	}
	if l.Series == 0 {
		l.Series = 20_000
	}
	if l.Played == 0 {
		l.Played = 100_000_000
	}
	if l.RuleSeconds == 0 {
		l.RuleSeconds = 45
	}
	if l.Seconds == 0 {
		l.Seconds = 600
	}
}
