// Which series an expression looks at, and how far back. Both are exact: Prometheus' own parser finds the selectors, their own
// matchers choose the series (regular expressions and selectors without a name included).

package engine

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Lookback is how long Prometheus takes a sample for the newest.
const Lookback = 5 * time.Minute

// look is one selector of an expression.
type look struct {
	matchers []*labels.Matcher
	// back is how far before the moment of evaluation the selector looks. A sample may count for Lookback longer.
	back time.Duration
	// window is the smallest range over which the selected samples are counted or averaged, 0 if only the newest counts.
	window time.Duration
}

// sees says whether the selector chooses the series.
func (l look) sees(series labels.Labels) bool {
	for _, m := range l.matchers {
		if !m.Matches(series.Get(m.Name)) {
			return false
		}
	}
	return true
}

// timeBound marks expressions that are not the same at every moment of a range query: `@` modifiers, and negative offsets, which
// would see a future that the live Prometheus does not have.
type sight struct {
	looks     []look
	timeBound bool
}

// sightOf finds all selectors of an expression.
func sightOf(expr parser.Expr) sight {
	var s sight
	s.walk(expr, 0, 0)
	return s
}

func (s *sight) walk(node parser.Node, back, window time.Duration) {
	switch n := node.(type) {
	case *parser.VectorSelector:
		if n.Timestamp != nil || n.StartOrEnd != 0 || n.OriginalOffset < 0 {
			s.timeBound = true
		}
		s.looks = append(s.looks, look{n.LabelMatchers, back + max(0, n.OriginalOffset) + Lookback, window})
		return
	case *parser.MatrixSelector:
		s.walk(n.VectorSelector, back+n.Range, smaller(window, n.Range))
		return
	case *parser.SubqueryExpr:
		if n.Timestamp != nil || n.StartOrEnd != 0 || n.OriginalOffset < 0 {
			s.timeBound = true
		}
		// The steps of a subquery are aligned: it may look one step further.
		step := n.Step
		if step == 0 {
			step = time.Minute
		}
		s.walk(n.Expr, back+n.Range+max(0, n.OriginalOffset)+step, smaller(window, n.Range))
		return
	}
	for _, child := range parser.Children(node) {
		s.walk(child, back, window)
	}
}

func smaller(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// produces says whether a selector may choose what a rule records. Labels are not looked at: too many dependencies only cost
// time, one too few would be wrong.
func (r *Rule) produces(l look) bool {
	names := []string{r.Ref.Name}
	if r.Alert {
		names = []string{"ALERTS", "ALERTS_FOR_STATE"}
	}
	for _, name := range names {
		match := true
		for _, m := range l.matchers {
			if m.Name == labels.MetricName && !m.Matches(name) {
				match = false
			}
			// An alert's own name and the labels that a rule sets are known.
			if r.Alert && m.Name == labels.AlertName && !m.Matches(r.Ref.Name) {
				match = false
			}
			if v := r.Labels.Get(m.Name); v != "" && !strings.Contains(v, "{{") && !m.Matches(v) {
				match = false
			}
		}
		if match {
			return true
		}
	}
	return false
}
