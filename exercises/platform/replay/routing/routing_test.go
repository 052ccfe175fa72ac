package routing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"modeldown/replay/wire"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const midnight = int64(1_772_582_400) // Wednesday, 2026-03-04

const plainConfig = `
route:
  receiver: ticket
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    - matchers: ['severity="page"']
      receiver: page
    - matchers: ['severity="heartbeat"']
      receiver: heartbeat
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 1m
    - matchers: ['severity="void"']
      receiver: "null"
inhibit_rules:
  - source_matchers: ['alertname="Down"']
    target_matchers: ['alertname=~"Slow|Down"']
    equal: [team]
receivers:
  - name: page
    webhook_configs: [{url: "http://pager:8080/page"}]
  - name: ticket
    webhook_configs: [{url: "http://pager:8080/ticket", send_resolved: false}]
  - name: heartbeat
    webhook_configs: [{url: "http://pager:8080/heartbeat"}]
  - name: "null"
`

func router(t *testing.T, text string) *Router {
	t.Helper()
	r, errs := load(text)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return r
}

func load(text string) (*Router, []wire.LoadError) {
	return Load(&wire.Input{
		Files: map[string]string{"am.yml": text}, Alertmanager: "am.yml",
		Urgencies: map[string][]string{"page": {"http://pager:8080/page"}, "ticket": {"http://pager:8080/ticket"}, "heartbeat": {"http://pager:8080/heartbeat"}},
	})
}

// fires begins at a second and ends at another (0: never).
func fires(from, to int64, pairs ...string) []Change {
	l := labels.FromStrings(pairs...)
	all := []Change{{(midnight + from) * 1000, l, true}}
	if to > 0 {
		all = append(all, Change{(midnight + to) * 1000, l, false})
	}
	return all
}

// told says what was sent until an hour has passed: "second urgency status alerts".
func told(r *Router, hours int64, changes ...[]Change) []string {
	var said []string
	for _, s := range r.Send(slices.Concat(changes...), (midnight+hours*3600)*1000) {
		said = append(said, fmt.Sprintf("%d %s %s %d", s.At/1000-midnight, s.Note.Urgency, s.Note.Status, len(s.Note.Alerts)))
	}
	return said
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestRoutesByUrgency(t *testing.T) {
	r := router(t, plainConfig)
	expect(t, told(r, 1, fires(100, 0, "alertname", "A", "severity", "page")), "130 page firing 1")
	expect(t, told(r, 1, fires(100, 0, "alertname", "A", "severity", "ticket")), "130 ticket firing 1")
	expect(t, told(r, 1, fires(100, 0, "alertname", "A", "severity", "void")))
}

func TestGroupWaitGathersAndGroupIntervalUpdates(t *testing.T) {
	r := router(t, plainConfig)
	expect(t, told(r, 1,
		fires(100, 0, "alertname", "A", "severity", "page", "i", "1"),
		fires(120, 0, "alertname", "A", "severity", "page", "i", "2"), // within group_wait
		fires(200, 0, "alertname", "A", "severity", "page", "i", "3"), // waits for group_interval
		fires(200, 0, "alertname", "B", "severity", "page"),           // a group of its own
	), "130 page firing 2", "230 page firing 1", "430 page firing 3")
}

func TestAnAlertThatEndsWithinGroupWaitIsNeverSent(t *testing.T) {
	r := router(t, plainConfig)
	expect(t, told(r, 1, fires(100, 115, "alertname", "A", "severity", "page")))
}

func TestResolvedIsSentWhereAsked(t *testing.T) {
	r := router(t, plainConfig)
	expect(t, told(r, 1, fires(100, 300, "alertname", "A", "severity", "page")), "130 page firing 1", "430 page resolved 1")
	expect(t, told(r, 1, fires(100, 300, "alertname", "A", "severity", "ticket")), "130 ticket firing 1")
	// It fires again after its group was thrown away: group_wait again.
	expect(t, told(r, 1, fires(100, 300, "alertname", "A", "severity", "page"), fires(700, 0, "alertname", "A", "severity", "page")),
		"130 page firing 1", "430 page resolved 1", "730 page firing 1")
}

func TestRepeatInterval(t *testing.T) {
	r := router(t, plainConfig)
	// A flush every five minutes; the first that is more than four hours after the last message reminds.
	expect(t, told(r, 9, fires(100, 0, "alertname", "A", "severity", "page")),
		"130 page firing 1", "14830 page firing 1", "29530 page firing 1")
	if n := len(told(r, 1, fires(0, 0, "alertname", "W", "severity", "heartbeat"))); n < 29 {
		t.Errorf("%d heartbeats in an hour", n)
	}
}

func TestInhibition(t *testing.T) {
	r := router(t, plainConfig)
	down := fires(90, 2000, "alertname", "Down", "severity", "page", "team", "x")
	expect(t, told(r, 1, down, fires(100, 0, "alertname", "Slow", "severity", "ticket", "team", "x")),
		"120 page firing 1", "2220 page resolved 1", "2230 ticket firing 1")
	expect(t, told(r, 1, down, fires(100, 0, "alertname", "Slow", "severity", "ticket", "team", "y")),
		"120 page firing 1", "130 ticket firing 1", "2220 page resolved 1")
	// Both source and target: it does not hold itself back.
	expect(t, told(r, 1, fires(90, 0, "alertname", "Down", "severity", "page", "team", "x")), "120 page firing 1")
}

func TestMuteAndActiveTimes(t *testing.T) {
	muted := strings.Replace(plainConfig, "      receiver: page\n", "      receiver: page\n      mute_time_intervals: [night]\n", 1) + `
time_intervals:
  - name: night
    time_intervals: [{times: [{start_time: "00:00", end_time: "01:00"}]}]
`
	r := router(t, muted)
	// Held back at night, and said when the night is over.
	expect(t, told(r, 2, fires(600, 0, "alertname", "A", "severity", "page")), "3630 page firing 1")
	expect(t, told(r, 2, fires(600, 3000, "alertname", "A", "severity", "page")))
	lines := r.Muted(time.Unix(midnight, 0).UTC())
	if len(lines) != 1 || lines[0].HoursPerYear != 365 || !slices.Equal(lines[0].Urgencies, []string{"page"}) {
		t.Errorf("%+v", lines)
	}
	active := strings.Replace(muted, "mute_time_intervals", "active_time_intervals", 1)
	r = router(t, active)
	expect(t, told(r, 2, fires(600, 0, "alertname", "A", "severity", "page")), "630 page firing 1")
	expect(t, told(r, 2, fires(4000, 0, "alertname", "A", "severity", "page")))
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct {
		change func(string) string
		line   int
		says   string
	}{
		{func(s string) string { return strings.Replace(s, "group_wait: 30s", "group_wait: soon", 1) }, 0, "soon"},
		{func(s string) string { return strings.Replace(s, "receiver: page\n", "receiver: pages\n", 1) }, 10, "pages"},
		{func(s string) string { return strings.Replace(s, "repeat_interval: 4h", "repeat_intervall: 4h", 1) }, 7, "repeat_intervall"},
	} {
		_, errs := load(c.change(plainConfig))
		if len(errs) != 1 || !strings.Contains(errs[0].Message, c.says) || c.line != 0 && errs[0].Line != c.line {
			t.Errorf("%+v", errs)
		}
	}
}

// Alertmanager's own inhibitor, fed with the same alerts, holds back the same ones.
func TestInhibitionAgreesWithAlertmanager(t *testing.T) {
	text := strings.Replace(plainConfig, "inhibit_rules:\n", `inhibit_rules:
  - source_matchers: ['severity="page"']
    target_matchers: ['severity=~"page|ticket"']
    equal: [team, zone]
  - source_match: {alertname: A}
    target_match_re: {alertname: "B|C"}
`, 1)
	r := router(t, text)
	cfg, err := config.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	var all []model.LabelSet
	for i := range 3 * 3 * 3 * 2 {
		set := model.LabelSet{
			"alertname": model.LabelValue([]string{"A", "B", "Down"}[i%3]), "severity": model.LabelValue([]string{"page", "ticket", "other"}[i/3%3]),
		}
		if team := i / 9 % 3; team > 0 {
			set["team"] = model.LabelValue(fmt.Sprint(team))
		}
		if i/27 > 0 {
			set["zone"] = "z"
		}
		all = append(all, set)
	}
	for first := range all {
		firing := []model.LabelSet{all[first], all[(first*7+3)%len(all)]}
		want := inhibitor(t, cfg.InhibitRules, firing)
		for _, target := range all {
			if got := r.inhibited(target, firing); got != want.Mutes(target) {
				t.Errorf("%v while %v fire: held back %v", target, firing, got)
			}
		}
		want.Stop()
	}
}

// inhibitor runs Alertmanager's inhibitor until it knows the firing alerts.
func inhibitor(t *testing.T, rules []config.InhibitRule, firing []model.LabelSet) *inhibit.Inhibitor {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	marker := types.NewMarker(prometheus.NewRegistry())
	alerts, err := mem.NewAlerts(context.Background(), marker, time.Hour, nil, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alerts.Close)
	// A sentinel comes last: once it holds its target back, everything before is known.
	sentinel := config.InhibitRule{SourceMatch: map[string]string{"sentinel": "source"}, TargetMatch: map[string]string{"sentinel": "target"}}
	ih := inhibit.NewInhibitor(alerts, append(slices.Clone(rules), sentinel), marker, log)
	go ih.Run()
	for _, set := range append(slices.Clone(firing), model.LabelSet{"sentinel": "source"}) {
		a := &types.Alert{Alert: model.Alert{Labels: set, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}, UpdatedAt: time.Now()}
		if err := alerts.Put(a); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); !ih.Mutes(model.LabelSet{"sentinel": "target"}); {
		if time.Now().After(deadline) {
			t.Fatal("the inhibitor does not take alerts")
		}
		time.Sleep(time.Millisecond)
	}
	return ih
}
