// What a trace has to say, as lines.

package main

import (
	"fmt"
	"strings"

	"modeldown/replay/engine"
	"modeldown/replay/routing"
	"modeldown/replay/synth"
	"modeldown/replay/wire"
)

// changes are the alerts that leave Prometheus, as Alertmanager receives them.
func (p *production) changes(histories []engine.History) []routing.Change {
	var all []routing.Change
	for _, h := range histories {
		sent, ok := p.cfg.Sent(h.Labels)
		if !ok {
			continue
		}
		firing := false
		for _, s := range h.States {
			if now := s.Firing(); now != firing {
				all = append(all, routing.Change{At: s.At, Labels: sent, Firing: now})
				firing = now
			}
		}
	}
	return all
}

// alertLines are the alerts of a trace that did anything while it was shown.
func (p *production) alertLines(t *trace, histories []engine.History, twin bool) []any {
	var lines []any
	counts := map[*engine.Rule]int{}
	for _, h := range histories {
		changes := shown(t, h)
		if len(changes) == 0 {
			continue
		}
		if counts[h.Rule]++; counts[h.Rule] > wire.AlertsMax {
			continue
		}
		lines = append(lines, wire.Alert{
			Kind: "alert", Trace: t.ID, Twin: twin, Rule: h.Rule.Ref, Labels: h.Labels.Map(), ChangesTotal: len(changes),
			Changes: changes[:min(len(changes), wire.AlertChangesMax)],
		})
	}
	for _, r := range p.cfg.Rules {
		if n := counts[r]; n > 0 {
			ref := r.Ref
			lines = append(lines, wire.Count{Kind: "count", Trace: t.ID, Twin: twin, Rule: &ref, Count: n})
		}
	}
	return lines
}

// shown are the changes of an alert while a trace is shown, led by the state that it had when that began.
func shown(t *trace, h engine.History) []wire.Change {
	var changes []wire.Change
	before := "inactive"
	for _, s := range h.States {
		switch {
		case s.At < t.from*1000:
			before = s.State.String()
		case s.At < t.to*1000:
			changes = append(changes, wire.Change{AtS: float64(s.At)/1000 - float64(t.onset), State: s.State.String()})
		}
	}
	if before != "inactive" {
		changes = append([]wire.Change{{AtS: float64(t.from - t.onset), State: before}}, changes...)
	}
	return changes
}

// sentLines are the notifications of a trace while it was shown.
func (p *production) sentLines(t *trace, sent []routing.Sent, twin bool) []any {
	var lines []any
	type key struct{ receiver, urgency string }
	counts := map[key]int{}
	var order []key
	for _, s := range sent {
		if s.At < t.from*1000 || s.At >= t.to*1000 {
			continue
		}
		k := key{s.Note.Receiver, s.Note.Urgency}
		if counts[k] == 0 {
			order = append(order, k)
		}
		if counts[k]++; counts[k] > wire.NotificationsMax {
			continue
		}
		n := s.Note
		n.Trace, n.Twin, n.AtS = t.ID, twin, float64(s.At)/1000-float64(t.onset)
		lines = append(lines, n)
	}
	for _, k := range order {
		lines = append(lines, wire.Count{Kind: "count", Trace: t.ID, Twin: twin, Receiver: k.receiver, Urgency: k.urgency, Count: counts[k]})
	}
	return lines
}

func errorLine(t *trace, e engine.Failed, twin bool) wire.RuleError {
	return wire.RuleError{
		Kind: "rule_error", Trace: t.ID, Twin: twin, Rule: e.Rule.Ref, Message: e.Message, Count: e.Count,
		FirstS: e.FirstS - float64(t.onset),
	}
}

// notices say where the recording is thinner than the traces deserve.
func (p *production) notices() []wire.Notice {
	var all []wire.Notice
	say := func(format string, args ...any) {
		all = append(all, wire.Notice{Kind: "notice", Message: fmt.Sprintf(format, args...)})
	}
	healthy := float64(len(p.player.Pool.Rows)) * float64(p.in.Recording.IntervalMS) / 1000
	if healthy < synth.PoolEnough {
		say("quiet time is made of %g healthy seconds only, %d are asked for", healthy, synth.PoolEnough)
	}
	for _, w := range p.in.Windows {
		if w.Kind != wire.Signature {
			continue
		}
		if names := synth.Strangers(p.player.Tape, p.player.Pool, w); len(names) > 0 {
			say("window `%s` was recorded in another state than the healthy ones: %s", w.ID, strings.Join(names, ", "))
		}
	}
	return all
}
