// The measure of truth for the timers: the same alerts, posted in real time to Alertmanager's own dispatcher, inhibitor and
// notification pipeline. It takes a quarter of a minute of waiting.

package routing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const quickConfig = `
route:
  receiver: ticket
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 5s
  routes:
    - {matchers: ['severity="page"'], receiver: page}
inhibit_rules:
  - {source_matchers: ['alertname="Down"'], target_matchers: ['alertname="Slow"']}
receivers:
  - name: page
    webhook_configs: [{url: "http://pager:8080/page"}]
  - name: ticket
    webhook_configs: [{url: "http://pager:8080/ticket", send_resolved: false}]
`

// deed is one change of an alert, in ms from the begin.
type deed struct {
	at     int64
	name   string
	sev    string
	i      string
	firing bool
}

var story = []deed{
	{0, "A", "page", "1", true}, {500, "A", "page", "2", true}, // both within group_wait
	{1500, "A", "page", "3", true}, // at the next group_interval
	{3500, "A", "page", "1", false},
	{11500, "A", "page", "2", false}, {11500, "A", "page", "3", false},
	{1800, "Down", "page", "", true}, {6300, "Down", "page", "", false},
	{2200, "Slow", "ticket", "", true}, // held back by Down
	{400, "Short", "page", "", true}, {900, "Short", "page", "", false},
	{700, "B", "ticket", "", true}, {2600, "B", "ticket", "", false}, {5100, "B", "ticket", "", true},
}

const storyEnds = 15_000

func TestTimersAgreeWithAlertmanager(t *testing.T) {
	if testing.Short() {
		t.Skip("waits in real time")
	}
	r := router(t, quickConfig)
	var changes []Change
	for _, d := range story {
		changes = append(changes, Change{midnight*1000 + d.at, labels.FromStrings("alertname", d.name, "severity", d.sev, "i", d.i), d.firing})
	}
	var want []string
	for _, s := range r.Send(changes, midnight*1000+storyEnds) {
		want = append(want, fmt.Sprintf("%s %s %s %d", s.Note.GroupLabels["alertname"], s.Note.Receiver, s.Note.Status, len(s.Note.Alerts)))
	}
	slices.Sort(want)
	if len(want) < 9 {
		t.Fatalf("the story should be longer: %q", want)
	}
	// A busy machine may be late by more than the story allows for.
	var got []string
	for range 3 {
		if got = live(t); slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("alertmanager sent %q\nreplay sends %q", got, want)
}

// pager is a receiver's way out.
type pager struct {
	resolved bool
	mu       *sync.Mutex
	heard    *[]string
}

func (p pager) SendResolved() bool { return p.resolved }

func (p pager) Notify(ctx context.Context, alerts ...*types.Alert) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	group, _ := notify.GroupLabels(ctx)
	receiver, _ := notify.ReceiverName(ctx)
	*p.heard = append(*p.heard, fmt.Sprintf("%s %s %s %d", group["alertname"], receiver, types.Alerts(alerts...).Status(), len(alerts)))
	return false, nil
}

// live plays the story in real time.
func live(t *testing.T) []string {
	t.Helper()
	cfg, err := config.Load(quickConfig)
	if err != nil {
		t.Fatal(err)
	}
	log, reg := slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry()
	marker := types.NewMarker(reg)
	alerts, err := mem.NewAlerts(context.Background(), marker, time.Hour, nil, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	defer alerts.Close()
	silences, err := silence.New(silence.Options{Logger: log, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := nflog.New(nflog.Options{Retention: time.Hour, Logger: log, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	inhibitor := inhibit.NewInhibitor(alerts, cfg.InhibitRules, marker, log)
	go inhibitor.Run()
	defer inhibitor.Stop()

	var mu sync.Mutex
	var heard []string
	ways := map[string][]notify.Integration{}
	for _, name := range []string{"page", "ticket"} {
		p := pager{name == "page", &mu, &heard}
		ways[name] = []notify.Integration{notify.NewIntegration(p, p, "webhook", 0, name)}
	}
	stage := notify.NewPipelineBuilder(reg, featurecontrol.NoopFlags{}).New(ways, func() time.Duration { return 0 }, inhibitor,
		silence.NewSilencer(silences, marker, log), timeinterval.NewIntervener(nil), marker, journal, nil)
	d := dispatch.NewDispatcher(alerts, dispatch.NewRoute(cfg.Route, nil), stage, marker, func(d time.Duration) time.Duration { return d + time.Minute },
		nil, log, dispatch.NewDispatcherMetrics(false, reg))
	go d.Run()
	defer d.Stop()

	deeds := slices.Clone(story)
	slices.SortStableFunc(deeds, func(a, b deed) int { return int(a.at - b.at) })
	began := time.Now()
	starts := map[string]time.Time{}
	for _, x := range deeds {
		time.Sleep(time.Until(began.Add(time.Duration(x.at) * time.Millisecond)))
		now := time.Now()
		key := x.name + x.i
		a := &types.Alert{UpdatedAt: now, Alert: model.Alert{
			Labels: model.LabelSet{"alertname": model.LabelValue(x.name), "severity": model.LabelValue(x.sev)}, StartsAt: now, EndsAt: now.Add(time.Hour),
		}}
		if x.i != "" {
			a.Labels["i"] = model.LabelValue(x.i)
		}
		if x.firing {
			starts[key] = now
		} else {
			a.StartsAt, a.EndsAt = starts[key], now
		}
		if err := alerts.Put(a); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(began.Add(storyEnds * time.Millisecond)))
	mu.Lock()
	defer mu.Unlock()
	said := slices.Clone(heard)
	slices.Sort(said)
	return said
}
