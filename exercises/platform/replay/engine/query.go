// Evaluating an expression at many moments. One range query gives the same values as an instant query at each step, and decodes
// a sample once rather than at every step.

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// NewEngine returns Prometheus' engine with a bound on the samples that one evaluation may hold. A subquery without a step
// takes the global evaluation interval, as in Prometheus.
func NewEngine(maxSamples int, evaluation time.Duration) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: log.NewNopLogger(), MaxSamples: maxSamples, Timeout: 24 * time.Hour, LookbackDelta: Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return evaluation.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true,
	})
}

// instant evaluates at one moment, seeing nothing of what comes after it.
func instant(ctx context.Context, e *promql.Engine, q storage.Queryable, expr string, ms int64) (promql.Vector, error) {
	query, err := e.NewInstantQuery(ctx, q, nil, expr, time.UnixMilli(ms))
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		return append(promql.Vector(nil), v...), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	}
	return nil, errors.New("rule result is not a vector or scalar")
}

// sweep is the outcome of one range query, read step by step.
type sweep struct {
	matrix promql.Matrix
	at     []int
}

// overRange evaluates at all moments of a run.
func overRange(ctx context.Context, e *promql.Engine, q storage.Queryable, expr string, r run) (*sweep, error) {
	query, err := e.NewRangeQuery(ctx, q, nil, expr, time.UnixMilli(r.from), time.UnixMilli(r.to), time.Duration(r.step)*time.Millisecond)
	if err != nil {
		return nil, err
	}
	result := query.Exec(ctx)
	if result.Err != nil {
		query.Close()
		return nil, result.Err
	}
	m, err := result.Matrix()
	if err != nil {
		query.Close()
		return nil, err
	}
	// Close gives the points back to a pool, so the query is left to the garbage collector.
	return &sweep{matrix: m, at: make([]int, len(m))}, nil
}

// next is the vector at a moment; moments must ascend.
func (s *sweep) next(ms int64) promql.Vector {
	var v promql.Vector
	for i := range s.matrix {
		points := s.matrix[i].Floats
		for s.at[i] < len(points) && points[s.at[i]].T < ms {
			s.at[i]++
		}
		if s.at[i] < len(points) && points[s.at[i]].T == ms {
			v = append(v, promql.Sample{T: ms, F: points[s.at[i]].F, Metric: s.matrix[i].Metric})
		}
	}
	return v
}
