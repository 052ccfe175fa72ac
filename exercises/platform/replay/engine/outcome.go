// What the rules did over a timeline, and how a trace continues what quiet time began.

package engine

import (
	"sort"

	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// Outcome is what the rules did over a timeline.
type Outcome struct {
	Alerts []History
	Errors []Failed
}

// History is the states of one alert over time.
type History struct {
	Rule   *Rule
	Labels labels.Labels
	States []State
}

// State is a state that holds from a moment on, in ms.
type State struct {
	At    int64
	State rules.AlertState
}

// Firing says whether the alert fires.
func (s State) Firing() bool { return s.State == rules.StateFiring }

// Failed is an error of a rule: how often, and between which moments (Unix seconds).
type Failed struct {
	Rule          *Rule
	Message       string
	Count         int
	FirstS, LastS float64
}

// sortHistories puts alerts in the order of their rules and labels.
func sortHistories(all []History) {
	sort.SliceStable(all, func(a, b int) bool {
		x, y := &all[a], &all[b]
		if x.Rule.place != y.Rule.place {
			return x.Rule.place < y.Rule.place
		}
		return labels.Compare(x.Labels, y.Labels) < 0
	})
}

// at is the state of an alert just before a moment.
func (h *History) at(ms int64) rules.AlertState {
	state := rules.StateInactive
	for _, s := range h.States {
		if s.At >= ms {
			break
		}
		state = s.State
	}
	return state
}

// Stitch is what alerts did in a trace: what they did in quiet time until the fork, and in the fork from then on.
func Stitch(quiet, fork []History, forkMS int64) []History {
	type key struct {
		rule   *Rule
		labels string
	}
	whole := map[key]*History{}
	of := func(h *History) *History {
		k := key{h.Rule, string(h.Labels.Bytes(nil))}
		if whole[k] == nil {
			whole[k] = &History{Rule: h.Rule, Labels: h.Labels}
		}
		return whole[k]
	}
	for i := range quiet {
		w := of(&quiet[i])
		for _, s := range quiet[i].States {
			if s.At < forkMS {
				w.States = append(w.States, s)
			}
		}
	}
	forked := map[*History]*History{}
	for i := range fork {
		forked[of(&fork[i])] = &fork[i]
	}
	var all []History
	for _, w := range whole {
		before, after := w.at(forkMS), rules.StateInactive
		f := forked[w]
		if f != nil {
			after = f.at(forkMS)
		}
		if before != after {
			w.States = append(w.States, State{forkMS, after})
		}
		if f != nil {
			for _, s := range f.States {
				if s.At >= forkMS {
					w.States = append(w.States, s)
				}
			}
		}
		if len(w.States) > 0 {
			all = append(all, *w)
		}
	}
	sortHistories(all)
	return all
}

// Lines describes every rule.
func (s *Set) Lines() []wire.Rule {
	mode := map[*Rule]string{}
	for _, u := range s.Units {
		for _, r := range u.Rules {
			mode[r] = "range"
			if u.Lockstep {
				mode[r] = "lockstep"
			}
		}
	}
	var all []wire.Rule
	for _, r := range s.Config.Rules {
		kind := "record"
		if r.Alert {
			kind = "alert"
		}
		all = append(all, wire.Rule{
			Kind: "rule", Rule: r.Ref, Type: kind, Labels: r.Labels.Map(), IntervalS: r.Interval.Seconds(),
			ForS: r.For.Seconds(), KeepS: r.Keep.Seconds(), Mode: mode[r],
		})
	}
	return all
}
