// Package routing says what the candidate's Alertmanager would send, and when, from the moments at which alerts begin and end.
// Configuration, routes, matchers, inhibition rules and time intervals are Alertmanager's own; its timers are computed.
//
//	load.go     the configuration
//	send.go     groups, their timers, and the log of what was sent
//	inhibit.go  which alerts are held back by others
//	muted.go    when a route is silent
package routing

import (
	"fmt"
	"strings"

	"modeldown/replay/engine"
	"modeldown/replay/wire"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/timeinterval"
)

// Router is a loaded configuration.
type Router struct {
	route     *dispatch.Route
	receivers map[string][]integration
	inhibits  []*inhibit.InhibitRule
	times     *timeinterval.Intervener
	names     map[string][]timeinterval.TimeInterval
}

// integration is one way by which a receiver is reached.
type integration struct {
	kind     string
	urgency  string
	resolved bool
}

// Load reads Alertmanager's configuration.
func Load(in *wire.Input) (*Router, []wire.LoadError) {
	text, ok := in.Files[in.Alertmanager]
	if !ok {
		return nil, []wire.LoadError{engine.Failure(in.Alertmanager, "", fmt.Errorf("there is no such file"))}
	}
	cfg, err := config.Load(text)
	if err != nil {
		return nil, []wire.LoadError{engine.Failure(in.Alertmanager, text, err)}
	}
	r := &Router{
		route: dispatch.NewRoute(cfg.Route, nil), receivers: map[string][]integration{},
		names: map[string][]timeinterval.TimeInterval{},
	}
	for _, rule := range cfg.InhibitRules {
		r.inhibits = append(r.inhibits, inhibit.NewInhibitRule(rule))
	}
	for _, t := range cfg.MuteTimeIntervals {
		r.names[t.Name] = t.TimeIntervals
	}
	for _, t := range cfg.TimeIntervals {
		r.names[t.Name] = t.TimeIntervals
	}
	r.times = timeinterval.NewIntervener(r.names)
	urgency := map[string]string{}
	for name, urls := range in.Urgencies {
		for _, u := range urls {
			urgency[strings.TrimRight(u, "/")] = name
		}
	}
	for _, rc := range cfg.Receivers {
		r.receivers[rc.Name] = integrations(&rc, urgency)
	}
	return r, nil
}

// integrations lists the ways of a receiver in Alertmanager's order of kinds. Only webhooks have an urgency: nothing else leaves
// the exercise's network.
func integrations(rc *config.Receiver, urgency map[string]string) []integration {
	var all []integration
	for _, c := range rc.WebhookConfigs {
		way := integration{kind: "webhook", resolved: c.SendResolved()}
		if c.URL != nil && c.URL.URL != nil {
			way.urgency = urgency[strings.TrimRight(c.URL.String(), "/")]
		}
		all = append(all, way)
	}
	add := func(kind string, resolved bool) { all = append(all, integration{kind: kind, resolved: resolved}) }
	for _, c := range rc.EmailConfigs {
		add("email", c.SendResolved())
	}
	for _, c := range rc.PagerdutyConfigs {
		add("pagerduty", c.SendResolved())
	}
	for _, c := range rc.OpsGenieConfigs {
		add("opsgenie", c.SendResolved())
	}
	for _, c := range rc.WechatConfigs {
		add("wechat", c.SendResolved())
	}
	for _, c := range rc.SlackConfigs {
		add("slack", c.SendResolved())
	}
	for _, c := range rc.VictorOpsConfigs {
		add("victorops", c.SendResolved())
	}
	for _, c := range rc.PushoverConfigs {
		add("pushover", c.SendResolved())
	}
	for _, c := range rc.SNSConfigs {
		add("sns", c.SendResolved())
	}
	for _, c := range rc.TelegramConfigs {
		add("telegram", c.SendResolved())
	}
	for _, c := range rc.DiscordConfigs {
		add("discord", c.SendResolved())
	}
	for _, c := range rc.WebexConfigs {
		add("webex", c.SendResolved())
	}
	for _, c := range rc.MSTeamsConfigs {
		add("msteams", c.SendResolved())
	}
	for _, c := range rc.MSTeamsV2Configs {
		add("msteamsv2", c.SendResolved())
	}
	for _, c := range rc.JiraConfigs {
		add("jira", c.SendResolved())
	}
	return all
}
