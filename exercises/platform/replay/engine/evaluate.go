// One rule, moment by moment. Everything that a rule does with its expression's value is Prometheus' own (rules.Group.Eval): `for`,
// keep_firing_for, limits, templates in labels, ALERTS, staleness of results. Only where the value comes from differs: in
// lockstep an instant query each time, else one range query for a run of evaluations.

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"modeldown/replay/store"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// evaluator drives one rule as a group of its own, so that rules can be run one after the other over the whole timeline.
type evaluator struct {
	set      *Set
	rule     *Rule
	store    *store.Store
	lockstep bool
	expr     string
	group    *rules.Group
	alerting *rules.AlertingRule
	base     rules.Rule

	// current is the run whose values are at hand, until a moment of it; nil sweep: one by one. chunk is how many steps
	// fit into memory at once.
	current      run
	until, chunk int64
	sweep        *sweep

	histories map[string]*History
	active    map[string]bool
	errors    []Failed
}

func (s *Set) evaluator(r *Rule, t Timeline, lockstep bool) *evaluator {
	e := &evaluator{set: s, rule: r, store: t.Store, lockstep: lockstep, expr: r.Expr.String(),
		histories: map[string]*History{}, active: map[string]bool{}}
	worded := wordedExpr{r.Expr, e.expr}
	if r.Alert {
		// Annotations change nothing that is judged here, and would be expanded at every evaluation.
		e.alerting = rules.NewAlertingRule(r.Ref.Name, worded, r.For, r.Keep, r.Labels, labels.EmptyLabels(),
			s.Config.External, "", true, log.NewNopLogger())
		e.base = e.alerting
	} else {
		e.base = rules.NewRecordingRule(r.Ref.Name, worded, r.Labels)
	}
	offset := r.Offset
	e.group = rules.NewGroup(rules.GroupOptions{
		Name: r.Ref.Group, File: r.Ref.File, Interval: r.Interval, Limit: r.Limit, Rules: []rules.Rule{e.base},
		QueryOffset: &offset,
		Opts: &rules.ManagerOptions{
			ExternalURL: &url.URL{}, QueryFunc: e.query, Context: context.Background(), Appendable: t.Store,
			Queryable: t.Store, Logger: log.NewNopLogger(), Metrics: s.metrics,
			NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		},
	})
	return e
}

// wordedExpr is an expression that knows its text: Prometheus asks for it several times at every evaluation.
type wordedExpr struct {
	parser.Expr
	text string
}

// String is the text of the expression.
func (w wordedExpr) String() string { return w.text }

// query is where the rule's own expression, and queries in its templates, get their values.
func (e *evaluator) query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	ms := at.UnixMilli()
	if e.sweep != nil && expr == e.expr {
		return e.sweep.next(ms), nil
	}
	return instant(ctx, e.set.engine, e.store.Until(ms), expr, ms)
}

// sweepFrom evaluates the expression from a moment to the end of its run, or as far as the samples that may be held at once
// reach. Where that fails for another reason, the moments are tried one by one: the live Prometheus would have failed only at
// some of them.
func (e *evaluator) sweepFrom(ms int64, r run) error {
	e.current, e.sweep = r, nil
	late := e.rule.Offset.Milliseconds()
	if e.chunk == 0 {
		e.chunk = 1 << 30
	}
	for {
		e.until = min(r.to, ms+e.chunk*r.step)
		err := e.set.budgets[e.rule].spend(func(ctx context.Context) (err error) {
			e.sweep, err = overRange(ctx, e.set.engine, e.store, e.expr, run{ms - late, e.until - late, r.step})
			return err
		})
		var tooMany promql.ErrTooManySamples
		steps := (e.until - ms) / r.step
		if !errors.As(err, &tooMany) || steps == 0 {
			return err
		}
		e.chunk = steps / 2
	}
}

// eval evaluates the rule at a moment.
func (e *evaluator) eval(ms int64, r run) {
	if e.set.givenUp(e.rule) {
		return
	}
	budget := e.set.budgets[e.rule]
	if !e.lockstep && (r != e.current || ms > e.until) {
		if err := e.sweepFrom(ms, r); errors.Is(err, ErrTooSlow) {
			e.set.giveUp(e.rule, err.Error())
			return
		}
	}
	err := budget.spend(func(ctx context.Context) error {
		e.group.Eval(ctx, time.UnixMilli(ms).UTC())
		return nil
	})
	if errors.Is(err, ErrTooSlow) {
		e.set.giveUp(e.rule, err.Error())
		return
	}
	if err := e.base.LastError(); err != nil {
		e.note(err, ms)
	}
	if e.alerting != nil {
		e.observe(ms)
	}
}

// note counts an error of the rule; one that asks for too much memory ends it.
func (e *evaluator) note(err error, ms int64) {
	var tooMany promql.ErrTooManySamples
	if errors.As(err, &tooMany) {
		e.set.giveUp(e.rule, err.Error())
		return
	}
	for i := range e.errors {
		if e.errors[i].Message == err.Error() {
			e.errors[i].Count++
			e.errors[i].LastS = float64(ms) / 1000
			return
		}
	}
	// An error may name the values of a moment; a few examples say enough.
	if len(e.errors) >= 5 {
		e.errors[4].Count++
		e.errors[4].LastS = float64(ms) / 1000
		return
	}
	e.errors = append(e.errors, Failed{
		Rule: e.rule, Message: err.Error(), Count: 1, FirstS: float64(ms) / 1000, LastS: float64(ms) / 1000,
	})
}

// observe notes which alerts have changed.
func (e *evaluator) observe(ms int64) {
	now := map[string]bool{}
	e.alerting.ForEachActiveAlert(func(a *rules.Alert) {
		if !a.ResolvedAt.IsZero() {
			return
		}
		key := string(a.Labels.Bytes(nil))
		if len(key) > store.LabelsMax {
			e.set.giveUp(e.rule, fmt.Sprintf("has labels of more than %d bytes", store.LabelsMax))
			return
		}
		now[key] = true
		h := e.histories[key]
		if h == nil {
			h = &History{Rule: e.rule, Labels: a.Labels}
			e.histories[key] = h
		}
		if n := len(h.States); n == 0 || h.States[n-1].State != a.State {
			h.States = append(h.States, State{ms, a.State})
		}
	})
	for key := range e.active {
		if !now[key] {
			h := e.histories[key]
			h.States = append(h.States, State{ms, rules.StateInactive})
		}
	}
	e.active = now
	if len(e.histories) > AlertsMax {
		e.set.giveUp(e.rule, fmt.Sprintf("has made more than %d different alerts", AlertsMax))
	}
}

func (e *evaluator) alerts() []History {
	var all []History
	for _, h := range e.histories {
		all = append(all, *h)
	}
	return all
}
