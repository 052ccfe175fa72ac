// All rules over a timeline: each unit after those that it needs, several at once.

package engine

import (
	"context"
	"sort"
	"sync"
	"time"

	"modeldown/replay/store"
	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
)

// Set is all rules, ready to run over timelines.
type Set struct {
	Config  *Config
	Units   []*Unit
	engine  *promql.Engine
	metrics *rules.Metrics
	budgets map[*Rule]*Budget
	begins  map[*Unit]int64

	mu   sync.Mutex
	over map[*Rule]string
}

// NewSet prepares rules. The context bounds all of them together.
func NewSet(ctx context.Context, cfg *Config, engine *promql.Engine, limits wire.Limits) *Set {
	s := &Set{
		Config: cfg, Units: Order(cfg.Rules), engine: engine,
		metrics: rules.NewGroupMetrics(nil), budgets: map[*Rule]*Budget{}, over: map[*Rule]string{},
	}
	for _, r := range cfg.Rules {
		s.budgets[r] = NewBudget(ctx, time.Duration(limits.RuleSeconds*float64(time.Second)))
		if why := hostile(r); why != "" {
			s.giveUp(r, why)
		}
	}
	return s
}

// Timeline is one run of all rules: over quiet time, or over a trace that forks from it.
type Timeline struct {
	Store *store.Store
	From  int64
	To    int64
	// Changes are where groups are evaluated at their own interval.
	Changes []Span
	// Forked timelines begin at From with every rule; what was recorded before is their origin's.
	Forked bool
	// Workers is how many units may be evaluated at once.
	Workers int
}

// Run evaluates all rules over a timeline.
func (s *Set) Run(t Timeline) Outcome {
	done := make(map[*Unit]chan struct{}, len(s.Units))
	outcomes := make([]Outcome, len(s.Units))
	for _, u := range s.Units {
		done[u] = make(chan struct{})
	}
	slots := make(chan struct{}, max(1, t.Workers))
	var wait sync.WaitGroup
	for i, u := range s.Units {
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer close(done[u])
			for _, need := range u.needs {
				<-done[need]
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			outcomes[i] = s.runUnit(u, t)
		}()
	}
	wait.Wait()
	var all Outcome
	for _, o := range outcomes {
		all.Alerts = append(all.Alerts, o.Alerts...)
		all.Errors = append(all.Errors, o.Errors...)
	}
	sortHistories(all.Alerts)
	sort.SliceStable(all.Errors, func(a, b int) bool { return all.Errors[a].FirstS < all.Errors[b].FirstS })
	return all
}

// AlertsMax is how many different alerts one rule may make over a timeline. A value in a label makes one at every evaluation.
const AlertsMax = 5000

// Over says which rules were given up, and why.
func (s *Set) Over() []wire.Limit {
	var all []wire.Limit
	for _, r := range s.Config.Rules {
		if why, ok := s.over[r]; ok {
			ref := r.Ref
			all = append(all, wire.Limit{Kind: "limit", Rule: &ref, Message: why})
		}
	}
	return all
}

func (s *Set) giveUp(r *Rule, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.over[r]; !ok {
		s.over[r] = why
	}
}

func (s *Set) givenUp(r *Rule) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.over[r]
	return ok
}

// runUnit evaluates one unit from begin to end.
func (s *Set) runUnit(u *Unit, t Timeline) Outcome {
	from := t.From
	if !t.Forked {
		from = min(from, s.begins[u])
	}
	evals := make([]*evaluator, len(u.Rules))
	type moment struct {
		ms  int64
		run run
		who int
	}
	var all []moment
	for i, r := range u.Rules {
		evals[i] = s.evaluator(r, t, u.Lockstep)
		for _, run := range moments(r.Interval, u.window, from, t.To, t.Changes) {
			for ms := run.from; ms <= run.to; ms += run.step {
				all = append(all, moment{ms, run, i})
			}
		}
	}
	sort.SliceStable(all, func(a, b int) bool { return all[a].ms < all[b].ms })
	for _, m := range all {
		evals[m.who].eval(m.ms, m.run)
	}
	var o Outcome
	for _, e := range evals {
		o.Alerts = append(o.Alerts, e.alerts()...)
		o.Errors = append(o.Errors, e.errors...)
	}
	return o
}
