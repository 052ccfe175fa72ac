package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"modeldown/replay/wire"
)

// play runs the program on an input, through its JSON.
func play(t testing.TB, in *wire.Input) []byte {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// told is an output, line by line.
type told struct {
	alerts  []wire.Alert
	sent    []wire.Notification
	panels  []wire.Panel
	load    []wire.LoadError
	limits  []wire.Limit
	errors  []wire.RuleError
	rules   []wire.Rule
	muted   []wire.Muted
	notices []wire.Notice
	counts  []wire.Count
}

func parse(t testing.TB, out []byte) *told {
	t.Helper()
	all := &told{}
	for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		var kind struct{ Kind string }
		if err := json.Unmarshal(line, &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "alert":
			take(t, line, &all.alerts)
		case "notification":
			take(t, line, &all.sent)
		case "panel":
			take(t, line, &all.panels)
		case "load_error":
			take(t, line, &all.load)
		case "limit":
			take(t, line, &all.limits)
		case "rule_error":
			take(t, line, &all.errors)
		case "rule":
			take(t, line, &all.rules)
		case "muted":
			take(t, line, &all.muted)
		case "notice":
			take(t, line, &all.notices)
		case "count":
			take(t, line, &all.counts)
		case "replay", "trace":
		default:
			t.Fatalf("a line of kind %q", kind.Kind)
		}
	}
	return all
}

func take[T any](t testing.TB, line []byte, to *[]T) {
	t.Helper()
	var v T
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatal(err)
	}
	*to = append(*to, v)
}

// first is the minute of the first message of an urgency about something new (-1: none).
func (o *told) first(trace, urgency string, twin bool) float64 {
	for _, n := range o.sent {
		if n.Trace == trace && n.Twin == twin && n.Urgency == urgency && n.Status == "firing" {
			return n.AtS / 60
		}
	}
	return -1
}

func (o *told) fires(trace, alert string, twin bool) bool {
	for _, a := range o.alerts {
		if a.Trace == trace && a.Twin == twin && a.Rule.Name == alert {
			for _, c := range a.Changes {
				if c.State == "firing" {
					return true
				}
			}
		}
	}
	return false
}

// small is an input with few rules, one short trace and little warm-up.
func small(rules string, traces ...wire.Trace) *wire.Input {
	in := newScene().exam().input()
	in.WarmUpMinutes = 120
	in.Traces = traces
	in.Files["prometheus/prometheus.yml"] = strings.ReplaceAll(in.Files["prometheus/prometheus.yml"], "5s", "15s")
	in.Files["prometheus/rules/alerts.yml"] = rules
	delete(in.Files, "prometheus/rules/recording.yml")
	return in
}

var outage = wire.Trace{ID: "total-outage", Signature: "outage", DurationMinutes: 20, AfterMinutes: 30}

// The table of the brief, with the reference's own rules: whom an incident reaches, and how soon.
func TestTheReferenceFindsEveryIncident(t *testing.T) {
	in := newScene().exam().input()
	in.Queries = []wire.Query{
		{ID: "traffic", Expr: `sum(rate(haproxy_backend_http_responses_total{proxy="models"}[1m]))`},
		{ID: "errors", Expr: `sum(rate(haproxy_backend_http_responses_total{proxy="models",code="5xx"}[1m]))`},
		{ID: "nothing", Expr: `no_such_metric`},
		{ID: "broken", Expr: `sum(`},
	}
	began := time.Now()
	got := parse(t, play(t, in))
	t.Logf("%d rules, %d traces: %s", len(got.rules), len(in.Traces), time.Since(began).Round(time.Second))
	for _, c := range []struct {
		trace, urgency string
		minutes        float64
	}{
		{"error-burst", "page", 10}, {"total-outage", "page", 5}, {"latency", "page", 30}, {"dependency", "page", 30},
		{"wrong-version", "page", 30}, {"dead-replica", "ticket", 30}, {"drift", "ticket", 12 * 60},
	} {
		if at := got.first(c.trace, c.urgency, false); at < 0 || at > c.minutes {
			t.Errorf("%s: %s after %.1f min, at most %v", c.trace, c.urgency, at, c.minutes)
		}
	}
	// A burn of ten times fills a window of six hours with six times the budget after 3.6 hours at even traffic.
	if at := got.first("slow-burn", "page", false); at < 0 || at > 220 {
		t.Errorf("slow-burn: after %.1f min", at)
	}
	for _, n := range got.sent {
		if (n.Twin || n.Trace == "quiet") && n.Urgency != "heartbeat" {
			t.Errorf("%s (twin: %v): %s about %v", n.Trace, n.Twin, n.Urgency, n.GroupLabels)
		}
	}
	if len(got.load)+len(got.limits)+len(got.errors)+len(got.notices) > 0 {
		t.Errorf("%v %v %v %v", got.load, got.limits, got.errors, got.notices)
	}
	panels(t, got)
}

func panels(t *testing.T, got *told) {
	t.Helper()
	for _, p := range got.panels {
		switch {
		case p.Query == "broken" && p.Error == "", p.Query == "nothing" && p.Data, p.Query == "traffic" && !p.Data:
			t.Errorf("panel %s of %s: data %v, error %q", p.Query, p.Trace, p.Data, p.Error)
		case p.Query == "errors" && p.Trace == "error-burst":
			middle := int((600 - p.FromS) / p.StepS)
			if a, b := *p.Incident[0].Values[middle], *p.Twin[0].Values[middle]; a < 3 || b != 0 {
				t.Errorf("errors: %v a second in the incident, %v in the twin", a, b)
			}
		}
	}
	if len(got.panels) != 4*9 {
		t.Errorf("%d panels", len(got.panels))
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	make := func() *wire.Input {
		in := newScene().exam().input()
		in.WarmUpMinutes = 180
		in.Traces = in.Traces[:2]
		in.Queries = []wire.Query{{ID: "scores", Expr: `sum by (le) (rate(inference_score_bucket[1m]))`}}
		return in
	}
	one := play(t, make())
	if two := play(t, make()); !bytes.Equal(one, two) {
		t.Error("two runs differ")
	}
	other := make()
	other.Seed = "another"
	if bytes.Equal(one, play(t, other)) {
		t.Error("the seed decides nothing")
	}
}

// What would earn points without finding anything shows in the output.
func TestCheatsAreVisible(t *testing.T) {
	got := parse(t, play(t, small(`
groups:
- name: cheats
  rules:
  - {alert: Always, expr: vector(1), labels: {severity: page}}
  - {alert: ByTheClock, expr: 'minute() % 10 < 5', labels: {severity: page}}
  - {alert: Carpet, expr: 'sum(rate(haproxy_backend_http_responses_total[5m])) > 1', labels: {severity: page}}
  - {alert: Honest, expr: 'sum(up{job="model"}) == 0', for: 1m, labels: {severity: page}}
`, outage)))
	for alert, twin := range map[string]bool{"Always": true, "ByTheClock": true, "Carpet": true, "Honest": false} {
		if !got.fires("total-outage", alert, false) || got.fires("total-outage", alert, true) != twin {
			t.Errorf("%s: incident %v, twin %v", alert, got.fires("total-outage", alert, false), got.fires("total-outage", alert, true))
		}
	}
	for _, a := range got.alerts {
		if a.Rule.Name == "Always" && (a.Changes[0].AtS != -1800 || a.Changes[0].State != "firing") {
			t.Errorf("it fired before: %v", a.Changes)
		}
	}
}

func TestLoadErrorsNameFileAndLine(t *testing.T) {
	good := "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'up == 0'}\n"
	for _, c := range []struct {
		file, old, new string
		line           int
		says           string
	}{
		{"prometheus/rules/alerts.yml", "up == 0", "up = 0", 4, "could not parse expression"},
		{"prometheus/rules/alerts.yml", "alert: A", "alert: A, colour: red", 4, "colour"},
		{"prometheus/prometheus.yml", "scrape_timeout: 3s", "scrape_time: 3s", 3, "scrape_time"},
		{"prometheus/prometheus.yml", "static_configs", "consul_sd_configs", 0, "consul_sd_configs"},
		{"alertmanager/alertmanager.yml", "receiver: page\n", "receiver: pager\n", 11, "pager"},
	} {
		in := small(good, outage)
		text := in.Files[c.file]
		in.Files[c.file] = strings.Replace(text, c.old, c.new, 1)
		if in.Files[c.file] == text {
			t.Fatalf("%s has no %q", c.file, c.old)
		}
		got := parse(t, play(t, in)).load
		if len(got) != 1 || got[0].File != c.file || c.line > 0 && got[0].Line != c.line || !strings.Contains(got[0].Message, c.says) {
			t.Errorf("%s: %+v", c.new, got)
		}
	}
}

// Jobs whose targets somebody names are as good as others; nobody is asked here.
func TestJobsThatAsk(t *testing.T) {
	in := small("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'vector(1)', labels: {severity: page}}\n", outage)
	in.Files["prometheus/prometheus.yml"] += "  - job_name: pods\n    kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]\n" +
		"  - job_name: named\n    http_sd_configs: [{url: \"http://names:8000/targets\"}]\n"
	if got := parse(t, play(t, in)); len(got.load) > 0 {
		t.Errorf("%v", got.load)
	}
}

// Jobs in files of their own keep their intervals, and no file of this machine is read for them.
func TestScrapeConfigFiles(t *testing.T) {
	in := small("groups:\n- name: g\n  rules:\n  - {alert: Slow, expr: 'count_over_time(up{job=\"lb\"}[10m]) < 12', labels: {severity: page}}\n", outage)
	main := in.Files["prometheus/prometheus.yml"]
	job := "  - job_name: lb\n    static_configs:\n      - targets: [\"lb:8404\"]\n"
	in.Files["prometheus/prometheus.yml"] = "scrape_config_files: [jobs/*.yml, /etc/passwd]\n" + strings.Replace(main, job, "", 1)
	in.Files["prometheus/jobs/lb.yml"] = "scrape_configs:\n" + strings.Replace(job, "lb\n", "lb\n    scrape_interval: 1m\n", 1)
	got := parse(t, play(t, in))
	if len(got.load) > 0 || !got.fires("total-outage", "Slow", true) {
		t.Errorf("%v", got.load)
	}
}

// A panel may look at what rules record, further back than any rule does.
func TestPanelsSeeRecordedSeries(t *testing.T) {
	in := small("groups:\n- name: g\n  rules:\n  - {record: 'lb:rate5m', expr: 'sum(rate(haproxy_backend_http_responses_total[5m]))'}\n", outage)
	in.Queries = []wire.Query{{ID: "hour", Expr: `count_over_time(lb:rate5m[1h])`}}
	got := parse(t, play(t, in)).panels
	if len(got) != 1 || !got[0].Data || *got[0].Incident[0].Values[0] < 59 {
		t.Errorf("%+v", got)
	}
}

// A value in a label makes a new alert at every evaluation: what is written stays bounded, and is counted.
func TestRuleErrorsAreReportedPerRule(t *testing.T) {
	got := parse(t, play(t, small(`
groups:
- name: g
  rules:
  - {alert: Clash, expr: 'model_info * on (job) up{job="model"}'}
  - {alert: Fine, expr: 'up == 0'}
`, outage)))
	if len(got.errors) == 0 {
		t.Fatal("no error")
	}
	for _, e := range got.errors {
		if e.Rule.Name != "Clash" || e.Count == 0 {
			t.Errorf("%+v", e)
		}
	}
}

// Alerts leave Prometheus with its external labels and relabelled, and are routed so.
func TestAlertsAreRelabelledOnTheWay(t *testing.T) {
	in := small("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'sum(up{job=\"model\"}) == 0', labels: {urgency: page}}\n", outage)
	in.Files["prometheus/prometheus.yml"] = strings.Replace(in.Files["prometheus/prometheus.yml"], "alerting:\n",
		"alerting:\n  alert_relabel_configs:\n    - {source_labels: [urgency], target_label: severity}\n", 1)
	in.Files["prometheus/prometheus.yml"] = strings.Replace(in.Files["prometheus/prometheus.yml"], "global:\n",
		"global:\n  external_labels: {site: berlin}\n", 1)
	got := parse(t, play(t, in))
	if at := got.first("total-outage", "page", false); at < 0 {
		t.Error("it is not routed as a page")
	}
	if got.sent[0].Alerts[0].Labels["site"] != "berlin" {
		t.Errorf("%v", got.sent[0].Alerts[0].Labels)
	}
}

// Scrape intervals of 15 s, 30 s and a minute all work, each job at its own.
func TestScrapeIntervals(t *testing.T) {
	for _, interval := range []string{"15s", "30s", "1m"} {
		in := small("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'sum(rate(haproxy_backend_http_responses_total{code=\"5xx\"}[5m])) > 1', labels: {severity: page}}\n", outage)
		in.Files["prometheus/prometheus.yml"] = strings.Replace(in.Files["prometheus/prometheus.yml"], "- job_name: lb\n", "- job_name: lb\n    scrape_interval: "+interval+"\n", 1)
		if at := parse(t, play(t, in)).first("total-outage", "page", false); at < 0 || at > 4 {
			t.Errorf("%s: after %.1f min", interval, at)
		}
	}
}

// A range holds as many samples as it does live, where a scrape and an evaluation never fall on the same millisecond: one that is
// no longer than the scrape interval holds one, of which no rate can be taken.
func TestRangesHoldAsManySamplesAsLive(t *testing.T) {
	in := small("groups:\n- name: g\n  rules:\n"+
		"  - {alert: More, expr: 'max(count_over_time(up[5s])) > 5', labels: {severity: page}}\n"+
		"  - {alert: Rate, expr: 'max(rate(haproxy_backend_http_responses_total[1s])) >= 0', labels: {severity: page}}\n"+
		"  - {alert: As, expr: 'min(count_over_time(up[5s])) == 5', labels: {severity: page}}\n", outage)
	seconds := strings.NewReplacer("scrape_interval: 15s", "scrape_interval: 1s", "scrape_timeout: 3s", "scrape_timeout: 1s")
	in.Files["prometheus/prometheus.yml"] = seconds.Replace(in.Files["prometheus/prometheus.yml"])
	got := parse(t, play(t, in))
	if got.fires("total-outage", "More", true) || got.fires("total-outage", "Rate", true) {
		t.Error("a range holds a sample too many")
	}
	if !got.fires("total-outage", "As", true) {
		t.Error("a range holds too few samples")
	}
}

// A fault that was recorded after a release brings another version along: the grader is told.
func TestAFaultInAnotherStateIsNoticed(t *testing.T) {
	s := newScene().exam()
	for _, m := range s.servers {
		m.version, m.expected = "4", map[string]bool{"4": true}
	}
	s.pass(10)
	s.window("late", wire.Signature, 30, 0, func(on bool) { s.failing = on })
	in := s.input()
	in.WarmUpMinutes, in.Traces = 120, []wire.Trace{outage}
	got := parse(t, play(t, in)).notices
	if len(got) != 1 || !strings.Contains(got[0].Message, "late") {
		t.Errorf("%v", got)
	}
}

func TestInputsThatMakeNoSenseAreRefused(t *testing.T) {
	for says, change := range map[string]func(*wire.Input){
		"format":            func(in *wire.Input) { in.Format = 9 },
		"`nowhere`":         func(in *wire.Input) { in.Traces[0].Signature = "nowhere" },
		"no healthy window": func(in *wire.Input) { in.Windows = nil },
		"share":             func(in *wire.Input) { in.Traces[0].Share = 2 },
	} {
		in := small("groups: []\n", outage)
		change(in)
		text, _ := json.Marshal(in)
		if err := run(bytes.NewReader(text), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if err := run(strings.NewReader(`{"format": 1, "sede": "x"}`), &bytes.Buffer{}); err == nil {
		t.Error("an unknown field is taken")
	}
}
