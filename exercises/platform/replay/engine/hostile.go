// What no limit of Prometheus' engine stops: templates that loop, and labels that grow. A rule that does either is given up
// before it is evaluated.

package engine

import (
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var loops = regexp.MustCompile(`\{\{-?\s*(range|template|define|block)\b`)

// growthMax is how many times longer than its sources a label may become in one expression.
const growthMax = 1000

// hostile says why a rule is not evaluated, or nothing.
func hostile(r *Rule) string {
	why := ""
	r.Labels.Range(func(l labels.Label) {
		if loops.MatchString(l.Value) {
			why = "has a loop in the template of the label `" + l.Name + "`, which is not evaluated"
		}
	})
	if growth(r.Expr) > growthMax {
		why = "makes labels grow more than a thousand times"
	}
	return why
}

// growth is how many times longer label_join and label_replace may make a label.
func growth(expr parser.Expr) float64 {
	times := 1.0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		call, ok := node.(*parser.Call)
		switch {
		case ok && call.Func.Name == "label_join":
			times *= float64(max(1, len(call.Args)-3))
		case ok && call.Func.Name == "label_replace":
			times *= float64(max(1, strings.Count(call.Args[2].String(), "$")))
		}
		return nil
	})
	return times
}
