// The measure of truth: the same samples and rules in Prometheus' own TSDB and rules manager, group by group while samples are
// appended. What this package does faster must give the same states at the same moments.

package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"modeldown/replay/store"
	"modeldown/replay/wire"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

const day = int64(1_772_582_400) // 2026-03-04

// target is a series as a function of the second: NaN is no sample, and the first after a sample a staleness marker.
type target struct {
	labels labels.Labels
	value  func(second int64) float64
}

// played are the samples of a target at every interval, with staleness markers.
func (x target) played(from, to, interval int64) (times []int64, values []float64) {
	before := false
	for s := from; s < to; s += interval {
		times = append(times, s*1000)
		v := x.value(s)
		switch {
		case !math.IsNaN(v):
			values = append(values, v)
		case before:
			values = append(values, math.Float64frombits(value.StaleNaN))
		default:
			values = append(values, store.Absent())
		}
		before = !math.IsNaN(v)
	}
	return times, values
}

// laboratory: two servers; blue is dead for twenty minutes and begins again; green fails for half an hour, and its series for
// errors is born then.
func laboratory(begin int64) []target {
	gone := math.NaN()
	at := func(from, to float64) func(int64) bool {
		return func(s int64) bool {
			m := float64(s-begin) / 60
			return m >= from && m < to
		}
	}
	dead, failing := at(150, 170), at(220, 250)
	series := func(pairs ...string) labels.Labels { return labels.FromStrings(pairs...) }
	wave := func(s int64) float64 { return 1 + 0.5*math.Sin(float64(s)/97) }
	total := 0.0
	counts := map[int64]float64{}
	for s := begin; s < begin+8*3600; s++ {
		total += 20 * wave(s)
		counts[s] = total
	}
	fails := map[int64]float64{}
	failed := 0.0
	for s := begin; s < begin+8*3600; s++ {
		if failing(s) {
			failed += 5
		}
		fails[s] = failed
	}
	return []target{
		{series("__name__", "up", "job", "model", "instance", "blue"), func(s int64) float64 {
			if dead(s) {
				return 0
			}
			return 1
		}},
		{series("__name__", "up", "job", "model", "instance", "green"), func(int64) float64 { return 1 }},
		{series("__name__", "requests_total", "job", "model", "instance", "blue", "code", "200"), func(s int64) float64 {
			if dead(s) {
				return gone
			}
			if s >= begin+170*60 {
				return counts[s] - counts[begin+170*60] // begun again
			}
			return counts[s]
		}},
		{series("__name__", "requests_total", "job", "model", "instance", "green", "code", "200"), func(s int64) float64 { return counts[s] }},
		{series("__name__", "requests_total", "job", "model", "instance", "green", "code", "500"), func(s int64) float64 {
			if s < begin+220*60 {
				return gone
			}
			return fails[s]
		}},
		{series("__name__", "temperature", "job", "model", "instance", "green"), func(s int64) float64 { return 20 + 10*math.Sin(float64(s-begin)/1800) }},
	}
}

// catalogue are rules of every kind that monitoring is made of.
const catalogue = `
groups:
- name: record
  rules:
  - {record: 'job:requests:rate5m', expr: 'sum by (job) (rate(requests_total[5m]))'}
  - {record: 'job:errors:ratio5m', expr: 'sum by (job) (rate(requests_total{code=~"5.."}[5m])) / job:requests:rate5m'}
  - {record: 'job:errors:ratio1h', expr: 'avg_over_time(job:errors:ratio5m[1h])'}
- name: alerts
  rules:
  - {alert: Dead, expr: 'up == 0', for: 5m, labels: {severity: ticket}}
  - {alert: DeadNow, expr: 'up == 0'}
  - {alert: Kept, expr: 'up == 0', keep_firing_for: 12m}
  - {alert: Errors, expr: 'job:errors:ratio5m > 0.05', for: 2m}
  - {alert: ErrorsLong, expr: 'job:errors:ratio1h > 0.02 and job:errors:ratio5m > 0.02'}
  - {alert: Absent, expr: 'absent(requests_total{code="500"})', for: 1m}
  - {alert: BlueGone, expr: 'absent(requests_total{instance="blue"})'}
  - {alert: Begun, expr: 'resets(requests_total[10m]) > 0'}
  - {alert: Halved, expr: 'job:requests:rate5m < 0.7 * job:requests:rate5m offset 1h'}
  - {alert: Peak, expr: 'max_over_time(temperature[30m:1m]) > 29'}
  - {alert: Rising, expr: 'predict_linear(temperature[15m], 1800) > 33', for: 3m}
  - {alert: Chained, expr: 'ALERTS{alertname="Dead",alertstate="firing"} == 1', for: 3m}
  - {alert: Tenth, expr: 'minute() >= 10 and on() vector(1) == 1'}
  - {alert: Labelled, expr: 'requests_total{code="500"} > 100', labels: {tier: '{{ $labels.instance }}', big: '{{ if gt $value 2000.0 }}yes{{ else }}no{{ end }}'}}
  - {alert: Clash, expr: 'requests_total / on (job) group_left up'}
  - {alert: Named, expr: '{__name__=~"temp.*",instance!=""} > 25', for: 1m}
- name: own-pace
  interval: 1m
  limit: 1
  rules:
  - {alert: TooMany, expr: 'up >= 0'}
  - {alert: Slowly, expr: 'rate(requests_total{code="200"}[2m]) < 12', for: 2m}
- name: late
  query_offset: 1m
  rules:
  - {record: 'late:up', expr: 'up'}
  - {alert: Late, expr: 'late:up == 0', for: 1m}
- name: backwards
  rules:
  - {alert: Before, expr: 'later:up == 0'}
  - {record: 'later:up', expr: 'up'}
  - {record: 'sum:self', expr: '(sum:self or vector(0)) + 1'}
  - {alert: Fortieth, expr: 'sum:self % 40 == 0'}
  - {alert: AtEnd, expr: 'temperature > temperature @ end() offset 5m', for: 1m}
  - {alert: Future, expr: 'absent(temperature offset -10m)'}
`

// truth runs rules in lockstep on a TSDB.
func truth(t *testing.T, text string, targets []target, from, to, interval int64) map[string][]string {
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = (400 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(filepath.Join(dir, "db"), log.NewNopLogger(), nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	eng := NewEngine(20_000_000, 15*time.Second)
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(eng, db), Appendable: db, Queryable: db, Context: ctx, Logger: log.NewNopLogger(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, ExternalURL: &url.URL{},
	})
	loaded, errs := m.LoadGroups(15*time.Second, labels.EmptyLabels(), "", nil, file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var groups []*rules.Group
	for _, name := range []string{"record", "alerts", "own-pace", "late", "backwards"} {
		if g := loaded[rules.GroupKey(file, name)]; g != nil {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		for _, r := range g.Rules() {
			if ar, ok := r.(*rules.AlertingRule); ok {
				ar.SetRestored(true)
			}
		}
	}
	states := map[string][]string{}
	last := map[string]string{}
	before := make([]bool, len(targets))
	for s := from; s < to; s++ {
		if (s-from)%interval == 0 {
			app := db.Appender(ctx)
			for i, x := range targets {
				v := x.value(s)
				if !math.IsNaN(v) {
					_, err = app.Append(0, x.labels, s*1000, v)
				} else if before[i] {
					_, err = app.Append(0, x.labels, s*1000, math.Float64frombits(value.StaleNaN))
				}
				if err != nil {
					t.Fatal(err)
				}
				before[i] = !math.IsNaN(v)
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		for _, g := range groups {
			if s%int64(g.Interval().Seconds()) != 0 {
				continue
			}
			g.Eval(ctx, time.Unix(s, 0).UTC())
			for _, r := range g.Rules() {
				ar, ok := r.(*rules.AlertingRule)
				if !ok {
					continue
				}
				now := map[string]string{}
				for _, a := range ar.ActiveAlerts() {
					now[a.Labels.String()] = a.State.String()
				}
				for key, state := range last {
					if strings.Contains(key, fmt.Sprintf("alertname=%q", r.Name())) && state != "inactive" && now[key] == "" {
						now[key] = "inactive"
					}
				}
				for key, state := range now {
					if last[key] != state && !(last[key] == "" && state == "inactive") {
						states[key] = append(states[key], fmt.Sprintf("%d %s", s-from, state))
						last[key] = state
					}
				}
			}
		}
	}
	return states
}

// replayed runs the same rules the fast way.
func replayed(t *testing.T, text string, targets []target, from, to, interval int64, fork int64) (map[string][]string, *Set) {
	cfg := &Config{}
	if errs := cfg.loadRules("rules.yml", text, 15*time.Second, 0); len(errs) > 0 {
		t.Fatal(errs)
	}
	limits := wire.Limits{RuleSeconds: 60, Samples: 20_000_000}
	set := NewSet(context.Background(), cfg, NewEngine(limits.Samples, 15*time.Second), limits)
	Fit(set, &Panels{}, nil, nil, Demand{From: from * 1000, To: to * 1000, Earliest: from * 1000}, 1)
	st := store.New(1000)
	for _, x := range targets {
		times, values := x.played(from, to, interval)
		st.Play(x.labels, times, values)
	}
	all := []Span{{from * 1000, to * 1000}}
	histories := set.Run(Timeline{Store: st, From: from * 1000, To: to * 1000, Changes: all, Workers: 2}).Alerts
	if fork > 0 {
		settle := fork - int64(set.Settle().Seconds())
		f := st.Fork(fork*1000, settle*1000)
		for _, x := range targets {
			times, values := x.played(from, to, interval)
			n := slices.IndexFunc(times, func(ms int64) bool { return ms >= fork*1000 })
			f.Play(x.labels, times[n:], values[n:])
		}
		forked := set.Run(Timeline{Store: f, From: settle * 1000, To: to * 1000, Changes: all, Forked: true, Workers: 2}).Alerts
		histories = Stitch(histories, forked, fork*1000)
	}
	states := map[string][]string{}
	for _, h := range histories {
		for _, s := range h.States {
			states[h.Labels.String()] = append(states[h.Labels.String()], fmt.Sprintf("%d %s", s.At/1000-from, s.State))
		}
	}
	return states, set
}

func compare(t *testing.T, want, got map[string][]string, skip ...string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	for key := range got {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
next:
	for _, key := range keys {
		for _, name := range skip {
			if strings.Contains(key, fmt.Sprintf("alertname=%q", name)) {
				continue next
			}
		}
		if !slices.Equal(want[key], got[key]) {
			t.Errorf("%s\n  prometheus %v\n  replay     %v", key, want[key], got[key])
		}
	}
}

func TestAgreesWithPrometheusInLockstep(t *testing.T) {
	from, to := day, day+5*3600
	targets := laboratory(from)
	want := truth(t, catalogue, targets, from, to, 15)
	got, _ := replayed(t, catalogue, targets, from, to, 15, 0)
	if len(want) < 20 {
		t.Fatalf("the catalogue should fire: %v", want)
	}
	compare(t, want, got)
}

func TestAForkAgreesToo(t *testing.T) {
	from, to := day, day+5*3600
	targets := laboratory(from)
	want := truth(t, catalogue, targets, from, to, 15)
	got, _ := replayed(t, catalogue, targets, from, to, 15, from+145*60)
	compare(t, want, got)
}

func TestLockstepIsForWhatCannotBeOrdered(t *testing.T) {
	from := day
	_, set := replayed(t, catalogue, laboratory(from), from, from+600, 15, 0)
	lockstep := map[string]bool{}
	for _, r := range set.Lines() {
		if r.Mode == "lockstep" {
			lockstep[r.Rule.Name] = true
		}
	}
	want := map[string]bool{"Before": true, "later:up": true, "sum:self": true, "AtEnd": true, "Future": true}
	// Named could choose any series, its own ALERTS too.
	for _, name := range []string{"Clash"} {
		if lockstep[name] {
			t.Errorf("%s should not need lockstep", name)
		}
	}
	for name := range want {
		if !lockstep[name] {
			t.Errorf("%s needs lockstep", name)
		}
	}
}

// Away from changes groups are evaluated at a minute only: nothing may come more than that later, or be missed if it lasts.
func TestCoarseStepsAreAtMostAMinuteLate(t *testing.T) {
	from, to := day, day+5*3600
	targets := laboratory(from)
	fine, _ := replayed(t, catalogue, targets, from, to, 15, 0)
	cfg := &Config{}
	cfg.loadRules("rules.yml", catalogue, 15*time.Second, 0)
	limits := wire.Limits{RuleSeconds: 60, Samples: 20_000_000}
	set := NewSet(context.Background(), cfg, NewEngine(limits.Samples, 15*time.Second), limits)
	Fit(set, &Panels{}, nil, nil, Demand{From: from * 1000, To: to * 1000, Earliest: from * 1000}, 1)
	st := store.New(1000)
	for _, x := range targets {
		times, values := x.played(from, to, 15)
		st.Play(x.labels, times, values)
	}
	for _, h := range set.Run(Timeline{Store: st, From: from * 1000, To: to * 1000, Workers: 1}).Alerts {
		switch h.Rule.Ref.Name {
		case "Fortieth", "AtEnd", "Tenth", "Peak", "Future", "TooMany":
			continue // count evaluations, or change with every sample
		}
		want := firings(fine[h.Labels.String()])
		var got []int64
		for _, s := range h.States {
			if s.Firing() {
				got = append(got, s.At/1000-from)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: fires at %v, at its own interval at %v", h.Labels, got, want)
			continue
		}
		for i := range got {
			if d := got[i] - want[i]; d < -60 || d > 60 {
				t.Errorf("%s: fires at %v, at its own interval at %v", h.Labels, got, want)
			}
		}
	}
}

func firings(states []string) []int64 {
	var all []int64
	for _, s := range states {
		var at int64
		var state string
		fmt.Sscan(s, &at, &state)
		if state == "firing" {
			all = append(all, at)
		}
	}
	return all
}
