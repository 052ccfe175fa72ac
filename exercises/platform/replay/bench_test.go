// How long a replay takes: go test -run '^$' -bench . -benchtime 1x
//
// The recording has about a thousand series. Eight incidents with their twins and a quiet day are played, after three days of
// warm-up, with the reference's rules, and with as many as there may be.

package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"modeldown/replay/wire"
)

// large is a scene with about a thousand series.
func large() *wire.Input {
	s := newScene()
	s.extra = 880
	in := s.exam().input()
	for i, expr := range []string{
		`sum(rate(haproxy_backend_http_responses_total{proxy="models"}[1m]))`,
		`sum(rate(haproxy_backend_http_responses_total{proxy="models",code="5xx"}[1m]))`,
		`histogram_quantile(0.95, sum by (le) (rate(inference_duration_seconds_bucket[1m])))`,
		`count by (version) (model_info)`, `sum by (le) (rate(inference_score_bucket[1m]))`, `up{job="model"}`,
	} {
		in.Queries = append(in.Queries, wire.Query{ID: fmt.Sprint(i), Expr: expr})
	}
	return in
}

func BenchmarkReference(b *testing.B) {
	bench(b, large())
}

// BenchmarkReferenceAt15s is the same with the scrape and evaluation interval that most would write.
func BenchmarkReferenceAt15s(b *testing.B) {
	in := large()
	in.Files["prometheus/prometheus.yml"] = strings.ReplaceAll(in.Files["prometheus/prometheus.yml"], "5s", "15s")
	bench(b, in)
}

// BenchmarkTwoHundredRules has the reference's rules eight times over, each time under other names.
func BenchmarkTwoHundredRules(b *testing.B) {
	in := large()
	names := regexp.MustCompile(`fraud:|alert: `)
	for i := 1; i < 8; i++ {
		for _, file := range []string{"recording", "alerts"} {
			text := names.ReplaceAllStringFunc(in.Files["prometheus/rules/"+file+".yml"], func(s string) string {
				if s == "fraud:" {
					return fmt.Sprintf("fraud%d:", i)
				}
				return fmt.Sprintf("%sN%d", s, i)
			})
			in.Files[fmt.Sprintf("prometheus/rules/%s%d.yml", file, i)] = text
		}
	}
	in.Limits.Rules = 208
	bench(b, in)
}

func bench(b *testing.B, in *wire.Input) {
	for range b.N {
		got := parse(b, play(b, in))
		if len(got.limits)+len(got.load) > 0 {
			b.Fatalf("%v %v", got.limits, got.load)
		}
		b.ReportMetric(float64(len(got.rules)), "rules")
		b.ReportMetric(float64(len(in.Recording.Series)), "series")
	}
}
