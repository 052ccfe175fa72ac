// Dashboard queries over a trace and its twin, thinned out so that a judge can decide whether a panel moves and a report can
// draw it.

package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"modeldown/replay/store"
	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Panels are the dashboard queries, ready to run.
type Panels struct {
	engine  *promql.Engine
	queries []*panel
}

type panel struct {
	wire.Query
	expr   parser.Expr
	err    error
	budget *Budget
	// over says why the query was given up.
	over string
}

// NewPanels parses the queries.
func NewPanels(ctx context.Context, engine *promql.Engine, queries []wire.Query, limits wire.Limits) *Panels {
	p := &Panels{engine: engine}
	for _, q := range queries {
		expr, err := parser.ParseExpr(q.Expr)
		p.queries = append(p.queries, &panel{
			Query: q, expr: expr, err: err, budget: NewBudget(ctx, time.Duration(limits.RuleSeconds*float64(time.Second))),
		})
	}
	return p
}

// Draw evaluates every query over [from, to] (ms) for an incident and its twin. Seconds in the lines count from onset. A query
// that took too long once is not asked again.
func (p *Panels) Draw(trace string, incident, twin *store.Store, from, to, onset int64) []wire.Panel {
	step := (to - from) / wire.PanelPointsMax
	step = max(15_000, (step+14_999)/15_000*15_000)
	r := run{from, from + (to-from)/step*step, step}
	var lines []wire.Panel
	for _, q := range p.queries {
		line := wire.Panel{
			Kind: "panel", Trace: trace, Query: q.ID, FromS: float64(from-onset) / 1000, StepS: float64(step) / 1000,
			Incident: []wire.PanelSeries{}, Twin: []wire.PanelSeries{},
		}
		err := q.err
		if q.over != "" {
			err = errors.New(q.over)
		}
		if err == nil {
			err = q.draw(p.engine, &line, incident, twin, r)
		}
		if err != nil {
			line.Error = err.Error()
		}
		lines = append(lines, line)
	}
	return lines
}

func (q *panel) draw(e *promql.Engine, line *wire.Panel, incident, twin *store.Store, r run) error {
	for _, side := range []struct {
		store *store.Store
		out   *[]wire.PanelSeries
	}{{incident, &line.Incident}, {twin, &line.Twin}} {
		var s *sweep
		err := q.budget.spend(func(ctx context.Context) (err error) {
			s, err = overRange(ctx, e, side.store.Until(r.to), q.Expr, r)
			return err
		})
		if err != nil {
			return err
		}
		for i, series := range s.matrix {
			if i == wire.PanelSeriesMax {
				break
			}
			*side.out = append(*side.out, wire.PanelSeries{Labels: series.Metric.Map(), Values: spread(series.Floats, r)})
		}
		if side.store == incident {
			line.SeriesTotal = len(s.matrix)
			line.Data = hasNumber(line.Incident)
		}
	}
	return nil
}

// spread puts points on the grid of the run; what JSON has no number for is no data.
func spread(points []promql.FPoint, r run) []*float64 {
	values := make([]*float64, (r.to-r.from)/r.step+1)
	for _, p := range points {
		if !math.IsNaN(p.F) && !math.IsInf(p.F, 0) {
			v := p.F
			values[(p.T-r.from)/r.step] = &v
		}
	}
	return values
}

func hasNumber(series []wire.PanelSeries) bool {
	for _, s := range series {
		for _, v := range s.Values {
			if v != nil {
				return true
			}
		}
	}
	return false
}

// Over says which queries were given up.
func (p *Panels) Over() []wire.Limit {
	var all []wire.Limit
	for _, q := range p.queries {
		why := q.over
		if why == "" && q.err == nil && q.budget.left.Load() <= 0 {
			why = q.budget.exhausted().Error()
		}
		if why != "" {
			all = append(all, wire.Limit{Kind: "limit", Query: q.ID, Message: why})
		}
	}
	return all
}
