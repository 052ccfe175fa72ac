// What a submission may cost: whatever it asks for, the replay ends, says which rule asked for too much, and evaluates the others.

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"modeldown/replay/wire"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		expr, says string
		limits     wire.Limits
	}{
		{`max_over_time(sum(rate({__name__=~".+_(total|bucket)"}[1h]))[2h:50ms]) > 1e9`, "too long", wire.Limits{RuleSeconds: 2}},
		{`count_over_time(inference_duration_seconds_bucket[100m:1s]) > 1e9`, "too many samples", wire.Limits{Samples: 100_000}},
		{`label_replace(model_info, "series", "$1", "instance", "(.*)") * on () group_left absent(nothing)`, "", wire.Limits{}},
	} {
		in := small("groups:\n- name: g\n  rules:\n  - {alert: Greedy, expr: '"+c.expr+"'}\n"+`
  - {alert: Fine, expr: 'sum(up{job="model"}) == 0'}
  - {record: 'after:greedy', expr: 'count(ALERTS{alertname="Greedy"})'}
`, outage)
		in.Limits = c.limits
		began := time.Now()
		got := parse(t, play(t, in))
		if d := time.Since(began); d > 2*time.Minute {
			t.Errorf("%s: %s", c.expr, d)
		}
		if c.says != "" && (len(got.limits) != 1 || got.limits[0].Rule.Name != "Greedy" || !strings.Contains(got.limits[0].Message, c.says)) {
			t.Errorf("%s: %v", c.expr, got.limits)
		}
		if c.says == "" && len(got.limits) > 0 {
			t.Errorf("%s: %v", c.expr, got.limits)
		}
		if !got.fires("total-outage", "Fine", false) {
			t.Errorf("%s: the others are evaluated as ever", c.expr)
		}
	}
}

func TestSamplesThatDoNotFit(t *testing.T) {
	in := small(`
groups:
- name: g
  rules:
  - {alert: Everything, expr: 'count({__name__=~".+"}) > 5000'}
  - {alert: Fine, expr: 'sum(up{job="model"}) == 0'}
`, outage)
	in.Queries = []wire.Query{{ID: "everything", Expr: `{job=~".+"}`}, {ID: "up", Expr: "up"}}
	in.Limits.Played = 30_000
	got := parse(t, play(t, in))
	if len(got.limits) != 2 || got.limits[0].Rule.Name != "Everything" || got.limits[1].Query != "everything" {
		t.Errorf("%+v", got.limits)
	}
	if !got.fires("total-outage", "Fine", false) {
		t.Error("the others are evaluated as ever")
	}
}

func TestHostileRules(t *testing.T) {
	grows := `model_info`
	for range 12 {
		grows = `label_join(` + grows + `, "v", "", "v", "version", "v")`
	}
	got := parse(t, play(t, small(`
groups:
- name: g
  rules:
  - {alert: Loops, expr: 'up == 1', labels: {a: '{{ range query "up" }}{{ range query "up" }}x{{ end }}{{ end }}'}}
  - {alert: Grows, expr: '`+grows+`'}
  - {alert: Long, expr: 'up == 1', labels: {a: '{{ printf "%999999d" 1 }}'}}
  - {alert: Fine, expr: 'sum(up{job="model"}) == 0'}
`, outage)))
	named := ""
	for _, l := range got.limits {
		named += l.Rule.Name + " "
	}
	if named != "Loops Grows Long " || !got.fires("total-outage", "Fine", false) {
		t.Errorf("%s", named)
	}
}

func TestFloodsAreCounted(t *testing.T) {
	in := small(`
groups:
- name: g
  interval: 5s
  rules:
  - {alert: Flood, expr: 'sum(haproxy_backend_http_responses_total)', labels: {severity: page, seen: '{{ $value }}'}}
`, outage)
	in.Files["alertmanager/alertmanager.yml"] = strings.ReplaceAll(in.Files["alertmanager/alertmanager.yml"], "group_by: [alertname]", "group_by: ['...']")
	out := play(t, in)
	got := parse(t, out)
	alerts, pages := 0, 0
	for _, c := range got.counts {
		if !c.Twin && c.Rule != nil {
			alerts = c.Count
		}
		if !c.Twin && c.Urgency == "page" {
			pages = c.Count
		}
	}
	if alerts <= wire.AlertsMax || pages == 0 || len(out) > 1<<20 {
		t.Errorf("%d alerts, %d pages, %d bytes", alerts, pages, len(out))
	}
}

func TestTooManyRules(t *testing.T) {
	text := "groups:\n- name: g\n  rules:\n"
	for i := range 12 {
		text += fmt.Sprintf("  - {alert: A%d, expr: 'up == 0'}\n", i)
	}
	in := small(text, outage)
	in.Limits.Rules = 10
	got := parse(t, play(t, in))
	if len(got.rules) != 10 || len(got.limits) != 1 || got.limits[0].Rule.Name != "A10" {
		t.Errorf("%d rules, %v", len(got.rules), got.limits)
	}
}
