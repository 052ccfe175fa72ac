// One replay from an input to lines: what is played, in which order, and how a trace is put together from the base and its fork.

package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"modeldown/replay/engine"
	"modeldown/replay/routing"
	"modeldown/replay/store"
	"modeldown/replay/synth"
	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
)

// Around a change groups are evaluated at their own interval: from shortly before until most rules have seen it.
const (
	fineBefore = 5 * 60
	fineAfter  = 30 * 60
)

// replay writes everything that follows from an input.
func replay(in *wire.Input, w *wire.Writer) error {
	cfg, loadErrors := engine.Load(in)
	router, more := routing.Load(in)
	loadErrors = append(loadErrors, more...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(in.Limits.Seconds*float64(time.Second)))
	defer cancel()

	var limits []wire.Limit
	if n := len(cfg.Rules); n > in.Limits.Rules {
		ref := cfg.Rules[in.Limits.Rules].Ref
		limits = append(limits, wire.Limit{Kind: "limit", Rule: &ref,
			Message: fmt.Sprintf("there are %d rules, at most %d are evaluated; this is the first that is not", n, in.Limits.Rules)})
		cfg.Rules = cfg.Rules[:in.Limits.Rules]
	}
	prom := engine.NewEngine(in.Limits.Samples, cfg.Evaluation)
	p := &production{
		in: in, cfg: cfg, router: router, rules: engine.NewSet(ctx, cfg, prom, in.Limits),
		panels: engine.NewPanels(ctx, prom, in.Queries, in.Limits),
	}
	if err := p.schedule(); err != nil {
		return err
	}
	p.playBase()

	lines := []any{wire.Replay{
		Kind: "replay", Format: wire.Format, Seed: in.Seed, Day: in.Day, Rules: len(cfg.Rules), SeriesRecorded: len(in.Recording.Series),
		SeriesPlayed:   len(p.player.Tape.Columns),
		HealthySeconds: float64(len(p.player.Pool.Rows)) * float64(in.Recording.IntervalMS) / 1000, Rhythm: *in.Rhythm,
	}}
	for _, e := range loadErrors {
		lines = append(lines, e)
	}
	for _, n := range p.notices() {
		lines = append(lines, n)
	}
	for _, r := range p.rules.Lines() {
		lines = append(lines, r)
	}
	if router != nil {
		for _, m := range router.Muted(p.day) {
			lines = append(lines, m)
		}
	}
	for _, trace := range p.playTraces() {
		lines = append(lines, trace...)
	}
	limits = append(limits, p.rules.Over()...)
	limits = append(limits, p.panels.Over()...)
	for _, l := range limits {
		lines = append(lines, l)
	}
	for _, l := range lines {
		if err := w.Line(l); err != nil {
			return err
		}
	}
	return nil
}

// production is everything that all traces share.
type production struct {
	in     *wire.Input
	cfg    *engine.Config
	router *routing.Router
	rules  *engine.Set
	panels *engine.Panels
	player *synth.Player

	day    time.Time
	traces []*trace
	// Quiet time begins at begin and is evaluated from `from` to `to` (Unix seconds).
	begin, from, to int64
	store           *store.Store
	states          map[int64]*synth.State
	quiet           engine.Outcome
	sent            []routing.Sent
}

// trace is a story with its moments in Unix seconds: what the rules see begins at settle, what is shown at from.
type trace struct {
	wire.Trace
	settle, from, onset, end, to int64
	segments                     []*synth.Segment
	changes                      []engine.Span
}

// schedule lays all traces out on the calendar and the recording out in rows.
func (p *production) schedule() error {
	day, err := time.ParseInLocation(time.DateOnly, p.in.Day, time.UTC)
	if err != nil {
		return fmt.Errorf("input: `day`: %w", err)
	}
	p.day = day
	midnight := day.Unix()
	p.begin = midnight - int64(p.in.WarmUpMinutes)*60
	p.from, p.to = midnight, midnight
	settle := min(int64(p.rules.Settle().Seconds()), int64(p.in.WarmUpMinutes)*60/2)
	for i := range p.in.Traces {
		t := &trace{Trace: p.in.Traces[i]}
		t.onset = midnight
		if t.OnsetMinutes != nil {
			t.onset += seconds(*t.OnsetMinutes)
		} else if t.Signature != "" {
			t.onset += synth.Pick(p.in.Seed, "onset of "+t.ID, 24*60*60)
		}
		t.from = t.onset - seconds(t.BeforeMinutes)
		t.settle = t.from - settle
		t.end = t.onset + seconds(t.DurationMinutes)
		t.to = t.end + seconds(t.AfterMinutes)
		p.from, p.to = min(p.from, t.settle), max(p.to, t.to)
		p.traces = append(p.traces, t)
	}
	p.begin = min(p.begin, p.from)
	p.layOut()
	return nil
}

// layOut puts the recording on tape, as far as a rule or query can see it, and the windows into the traces.
func (p *production) layOut() {
	intervals := synth.Intervals{ByJob: p.cfg.Scrape, Default: p.cfg.ScrapeDefault}
	every := func(l labels.Labels) int64 { return intervals.Of(l.Get("job")) * 1000 }
	var series []labels.Labels
	for i := range p.in.Recording.Series {
		series = append(series, labels.FromMap(p.in.Recording.Series[i].Labels))
	}
	begins := map[string]int64{}
	demand := engine.Demand{From: p.from * 1000, To: p.to * 1000, Earliest: p.begin * 1000}
	for i, begin := range engine.Fit(p.rules, p.panels, series, every, demand, p.in.Limits.Played) {
		if begin == engine.Never && series[i].Get(labels.MetricName) == "up" {
			begin = demand.From // `up` is always on tape: it tells what is healthy
		}
		if begin != engine.Never {
			begins[series[i].String()] = begin
		}
	}
	tape := synth.NewTape(p.in, func(l labels.Labels) bool { _, ok := begins[l.String()]; return ok })
	p.player = synth.NewPlayer(tape, synth.NewPool(tape, p.in), p.in, intervals)
	for i, l := range p.player.Labels() {
		// A sample counts for a while after its scrape, so a series begins earlier than it is looked at.
		p.player.Begins[i] = max(p.begin, (begins[l.String()]-2*every(l))/1000)
	}
	windows := map[string]wire.Window{}
	for _, w := range p.in.Windows {
		windows[w.ID] = w
	}
	for _, t := range p.traces {
		if t.Signature != "" {
			t.add(p.player, windows[t.Signature], t.ID, t.onset, t.end, t.Share, seconds(t.RampMinutes))
		}
		for i, b := range t.Blemishes {
			name := fmt.Sprintf("%s/%d", t.ID, i)
			from, to := t.onset, t.end
			if b.DurationSeconds > 0 {
				length := int64(math.Ceil(b.DurationSeconds))
				from += synth.Pick(p.in.Seed, "begin of "+name, max(1, t.end-t.onset-length-3600))
				if b.AtMinutes != nil {
					from = t.onset + seconds(*b.AtMinutes)
				}
				to = from + length
			}
			t.add(p.player, windows[b.Signature], name, from, to, b.Share, 0)
		}
	}
}

func (t *trace) add(p *synth.Player, w wire.Window, purpose string, from, to int64, share float64, ramp int64) {
	s := p.Segment(w, purpose, from, to, share, ramp)
	t.segments = append(t.segments, s)
	t.changes = append(t.changes, around(from), around(s.Ends(p.Tape)))
}

func around(second int64) engine.Span {
	return engine.Span{From: (second - fineBefore) * 1000, To: (second + fineAfter) * 1000}
}

func seconds(minutes float64) int64 { return int64(math.Round(minutes * 60)) }

// playBase makes quiet time and runs the rules over it: it is the twin of every trace, and what forks begin from.
func (p *production) playBase() {
	var forks []int64
	var changes []engine.Span
	for _, t := range p.traces {
		forks = append(forks, t.onset)
		changes = append(changes, t.changes...)
	}
	slices.Sort(forks)
	p.store = store.New(p.in.Limits.Series)
	p.states = p.player.Play(p.store, p.player.Start(p.begin), p.to, nil, slices.Compact(forks))
	p.quiet = p.rules.Run(engine.Timeline{
		Store: p.store, From: p.from * 1000, To: p.to * 1000, Changes: changes, Workers: runtime.GOMAXPROCS(0),
	})
	if p.router != nil {
		p.sent = p.router.Send(p.changes(p.quiet.Alerts), p.to*1000)
	}
}

// playTraces plays all traces, as many at once as there are processors, and returns their lines in the input's order.
func (p *production) playTraces() [][]any {
	lines := make([][]any, len(p.traces))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, t := range p.traces {
		wait.Add(1)
		slots <- struct{}{}
		go func() {
			defer wait.Done()
			lines[i] = p.play(t)
			<-slots
		}()
	}
	wait.Wait()
	return lines
}

// play plays one trace.
func (p *production) play(t *trace) []any {
	fork := p.store.Fork(t.onset*1000, t.settle*1000)
	p.player.Play(fork, p.states[t.onset], t.to, t.segments, nil)
	outcome := p.rules.Run(engine.Timeline{
		Store: fork, From: t.settle * 1000, To: t.to * 1000, Changes: t.changes, Forked: true, Workers: 1,
	})
	whole := engine.Stitch(p.quiet.Alerts, outcome.Alerts, t.onset*1000)
	lines := []any{wire.TraceLine{
		Kind: "trace", Trace: t.ID, Onset: time.Unix(t.onset, 0).UTC().Format(time.RFC3339),
		FromS: float64(t.from - t.onset), EndS: float64(t.end - t.onset), ToS: float64(t.to - t.onset),
	}}
	lines = append(lines, p.alertLines(t, whole, false)...)
	lines = append(lines, p.alertLines(t, p.quiet.Alerts, true)...)
	if p.router != nil {
		lines = append(lines, p.sentLines(t, p.router.Send(p.changes(whole), t.to*1000), false)...)
		lines = append(lines, p.sentLines(t, p.sent, true)...)
	}
	for _, l := range p.panels.Draw(t.ID, fork, p.store, t.from*1000, t.to*1000, t.onset*1000) {
		lines = append(lines, l)
	}
	for _, e := range outcome.Errors {
		if e.LastS >= float64(t.from) {
			lines = append(lines, errorLine(t, e, false))
		}
	}
	for _, e := range p.quiet.Errors {
		if e.LastS >= float64(t.from) && e.FirstS < float64(t.to) {
			lines = append(lines, errorLine(t, e, true))
		}
	}
	return lines
}
