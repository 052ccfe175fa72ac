// The whole way once more against the measure of truth: the reference's own rules over a synthesised trace, in lockstep in
// Prometheus' rules manager on its TSDB, fire and end at the same moments.

package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"modeldown/replay/engine"
	"modeldown/replay/store"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type scraped struct {
	at     int64
	v      float64
	labels labels.Labels
}

// samples are all samples of a store, in order of time.
func samples(s *store.Store) []scraped {
	q, _ := s.Querier(0, math.MaxInt64)
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchNotEqual, labels.MetricName, ""))
	var all []scraped
	for set.Next() {
		x := set.At()
		for it := x.Iterator(nil); it.Next() != chunkenc.ValNone; {
			at, v := it.At()
			all = append(all, scraped{at, v, x.Labels()})
		}
	}
	sort.SliceStable(all, func(a, b int) bool { return all[a].at < all[b].at })
	return all
}

func TestTheReferenceAgreesWithPrometheusInLockstep(t *testing.T) {
	if testing.Short() {
		t.Skip("lockstep takes a minute")
	}
	for _, id := range []string{"total-outage", "error-burst", "wrong-version", "dead-replica", "dependency"} {
		in := newScene().exam().input()
		in.WarmUpMinutes = 60
		for name, text := range in.Files {
			in.Files[name] = strings.ReplaceAll(text, "_interval: 5s", "_interval: 15s")
		}
		all := in.Traces
		in.Traces = nil
		for _, x := range all {
			if x.ID == id {
				x.BeforeMinutes, x.DurationMinutes, x.AfterMinutes = 10, 16, 6
				onset := 40.3 // early, so that lockstep has little history to go through
				x.OnsetMinutes = &onset
				in.Traces = append(in.Traces, x)
			}
		}
		if err := in.Check(); err != nil {
			t.Fatal(err)
		}
		cfg, _ := engine.Load(in)
		prom := engine.NewEngine(in.Limits.Samples, cfg.Evaluation)
		p := &production{in: in, cfg: cfg, rules: engine.NewSet(context.Background(), cfg, prom, in.Limits),
			panels: engine.NewPanels(context.Background(), prom, nil, in.Limits)}
		if err := p.schedule(); err != nil {
			t.Fatal(err)
		}
		p.playBase()
		x := p.traces[0]
		fork := p.store.Fork(x.onset*1000, 0)
		p.player.Play(fork, p.states[x.onset], x.to, x.segments, nil)
		want := lockstep(t, in.Files, samples(fork), x, p.from)

		fork = p.store.Fork(x.onset*1000, x.settle*1000)
		p.player.Play(fork, p.states[x.onset], x.to, x.segments, nil)
		outcome := p.rules.Run(engine.Timeline{Store: fork, From: x.settle * 1000, To: x.to * 1000, Forked: true, Workers: 1,
			Changes: []engine.Span{{From: x.settle * 1000, To: x.to * 1000}}})
		got := map[string][]string{}
		for _, h := range outcome.Alerts {
			for _, s := range h.States {
				if s.At >= x.onset*1000 {
					got[h.Labels.String()] = append(got[h.Labels.String()], fmt.Sprintf("%d %s", s.At/1000-x.onset, s.State))
				}
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: nothing happens", id)
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if !slices.Equal(want[key], got[key]) {
				t.Errorf("%s: %s\n  prometheus %v\n  replay     %v", id, key, want[key], got[key])
			}
		}
		if len(want) != len(got) {
			t.Errorf("%s: %d alerts in prometheus, %d in the replay", id, len(want), len(got))
		}
	}
}

// lockstep runs rule files in Prometheus' rules manager while samples are appended, and says what alerts did from the onset on.
func lockstep(t *testing.T, files map[string]string, all []scraped, x *trace, from int64) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for name, text := range files {
		if strings.Contains(name, "/rules/") {
			file := filepath.Join(dir, filepath.Base(name))
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			names = append(names, file)
		}
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = (400 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(filepath.Join(dir, "db"), log.NewNopLogger(), nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine.NewEngine(20_000_000, 15*time.Second), db), Appendable: db, Queryable: db, Context: ctx,
		Logger: log.NewNopLogger(), NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, ExternalURL: &url.URL{},
	})
	loaded, errs := m.LoadGroups(15*time.Second, labels.EmptyLabels(), "", nil, names...)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	// Recording rules first: between groups a live Prometheus promises no order.
	keys := slices.Sorted(maps.Keys(loaded))
	slices.SortStableFunc(keys, func(a, b string) int {
		return strings.Compare(fmt.Sprint(!strings.Contains(a, "recording")), fmt.Sprint(!strings.Contains(b, "recording")))
	})
	last, states := map[string]string{}, map[string][]string{}
	for s := (from + 14) / 15 * 15; s < x.to; s += 15 {
		app := db.Appender(ctx)
		for len(all) > 0 && all[0].at <= s*1000 {
			if _, err := app.Append(0, all[0].labels, all[0].at, all[0].v); err != nil {
				t.Fatal(err)
			}
			all = all[1:]
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		now := map[string]string{}
		for _, key := range keys {
			loaded[key].Eval(ctx, time.Unix(s, 0).UTC())
			for _, r := range loaded[key].Rules() {
				if ar, ok := r.(*rules.AlertingRule); ok {
					for _, a := range ar.ActiveAlerts() {
						now[a.Labels.String()] = a.State.String()
					}
				}
			}
		}
		for key := range last {
			if now[key] == "" {
				now[key] = "inactive"
			}
		}
		for key, state := range now {
			if last[key] != state && s >= x.onset && !(last[key] == "" && state == "inactive") {
				states[key] = append(states[key], fmt.Sprintf("%d %s", s-x.onset, state))
			}
			last[key] = state
		}
	}
	return states
}
