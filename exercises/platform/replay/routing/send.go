// Groups, their timers, and the log of what was sent: what Alertmanager's dispatcher and its notification pipeline do, by
// calculation in virtual time. An alert arrives at the evaluation that makes it fire or end, and the way is taken to last no
// time.

package routing

import (
	"sort"
	"strings"
	"time"

	"modeldown/replay/wire"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Change is an alert that begins to fire or ends, in ms.
type Change struct {
	At     int64
	Labels labels.Labels
	Firing bool
}

// Sent is a notification, in ms.
type Sent struct {
	At   int64
	Note wire.Notification
}

// group collects alerts of one route with the same group labels.
type group struct {
	route  *dispatch.Route
	key    string
	labels model.LabelSet
	alerts map[string]*alert
	next   int64
	// flushed says that group_wait is over; emptySince is when the last alert left.
	flushed    bool
	emptySince int64
}

type alert struct {
	labels   model.LabelSet
	text     string
	firing   bool
	startsAt int64
}

// entry is what the notification log remembers of a group and an integration.
type entry struct {
	at               int64
	firing, resolved map[string]bool
}

// Alertmanager throws empty groups away this often.
const maintenance = 30_000

// A group_interval below a second is taken for a second: more often nothing changes here, and a millisecond would take days.
const shortest = 1000

// sender is an Alertmanager in virtual time.
type sender struct {
	router *Router
	// firing counts, by labels, the Prometheus alerts that fire: relabelling can make one alert of several.
	firing map[string]int
	alerts map[string]*alert
	groups map[string]*group
	log    map[string]*entry
	sent   []Sent
}

// Send plays changes, in order of time, up to an end, and returns what is sent.
func (r *Router) Send(changes []Change, end int64) []Sent {
	s := &sender{router: r, firing: map[string]int{}, alerts: map[string]*alert{}, groups: map[string]*group{}, log: map[string]*entry{}}
	changes = append([]Change(nil), changes...)
	sort.SliceStable(changes, func(a, b int) bool {
		if changes[a].At != changes[b].At {
			return changes[a].At < changes[b].At
		}
		return labels.Compare(changes[a].Labels, changes[b].Labels) < 0
	})
	for {
		g := s.nextGroup()
		switch {
		case len(changes) > 0 && changes[0].At < end && (g == nil || changes[0].At <= g.next):
			s.receive(changes[0])
			changes = changes[1:]
		case g != nil && g.next < end:
			s.flush(g)
		default:
			return s.sent
		}
	}
}

// nextGroup is the group whose timer ends first; the key decides between equals.
func (s *sender) nextGroup() *group {
	var first *group
	for _, g := range s.groups {
		if first == nil || g.next < first.next || g.next == first.next && g.key < first.key {
			first = g
		}
	}
	return first
}

// receive takes an alert into the groups of all routes that match it.
func (s *sender) receive(c Change) {
	text := c.Labels.String()
	if c.Firing {
		s.firing[text]++
	} else {
		s.firing[text]--
	}
	a := s.alerts[text]
	if a == nil {
		set := model.LabelSet{}
		c.Labels.Range(func(l labels.Label) { set[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
		a = &alert{labels: set, text: text}
		s.alerts[text] = a
	}
	firing := s.firing[text] > 0
	if firing && !a.firing {
		a.startsAt = c.At
	}
	if firing == a.firing {
		return
	}
	a.firing = firing
	if !firing {
		delete(s.alerts, text)
		delete(s.firing, text)
	}
	for _, route := range s.router.route.Match(a.labels) {
		s.insert(route, a, c.At)
	}
}

func (s *sender) insert(route *dispatch.Route, a *alert, now int64) {
	by := model.LabelSet{}
	for name, v := range a.labels {
		if _, ok := route.RouteOpts.GroupBy[name]; ok || route.RouteOpts.GroupByAll {
			by[name] = v
		}
	}
	key := route.ID() + ":" + by.String()
	g := s.groups[key]
	if g != nil && len(g.alerts) == 0 && now/maintenance > g.emptySince/maintenance {
		g = nil
	}
	if g == nil {
		g = &group{route: route, key: key, labels: by, alerts: map[string]*alert{}, next: now + route.RouteOpts.GroupWait.Milliseconds()}
		s.groups[key] = g
	}
	g.alerts[a.text] = a
	// An alert that has waited elsewhere as long as group_wait does not wait again.
	if !g.flushed && a.startsAt+route.RouteOpts.GroupWait.Milliseconds() < now {
		g.next = now
	}
}

// flush is the end of a group's timer: whatever is to be said now is said.
func (s *sender) flush(g *group) {
	now := g.next
	if len(g.alerts) == 0 {
		// Thrown away by maintenance long before its timer, unless group_interval is very short.
		if now/maintenance > g.emptySince/maintenance {
			delete(s.groups, g.key)
			return
		}
	}
	g.flushed = true
	g.next = now + max(shortest, g.route.RouteOpts.GroupInterval.Milliseconds())
	if len(g.alerts) == 0 {
		return
	}
	var texts []string
	for text := range g.alerts {
		texts = append(texts, text)
	}
	sort.Strings(texts)
	var firingNow []model.LabelSet
	for _, a := range s.alerts {
		if a.firing {
			firingNow = append(firingNow, a.labels)
		}
	}
	if !s.router.mutedAt(g.route, time.UnixMilli(now).UTC()) {
		var said []*alert
		for _, text := range texts {
			if a := g.alerts[text]; !s.router.inhibited(a.labels, firingNow) {
				said = append(said, a)
			}
		}
		if len(said) > 0 {
			for i, way := range s.router.receivers[g.route.RouteOpts.Receiver] {
				s.notify(g, i, way, said, now)
			}
		}
	}
	for text, a := range g.alerts {
		if !a.firing {
			delete(g.alerts, text)
		}
	}
	if len(g.alerts) == 0 {
		g.emptySince = now
	}
}

// notify sends to one integration what it does not know yet, or should be reminded of.
func (s *sender) notify(g *group, index int, way integration, alerts []*alert, now int64) {
	firing, resolved := map[string]bool{}, map[string]bool{}
	for _, a := range alerts {
		if a.firing {
			firing[a.text] = true
		} else {
			resolved[a.text] = true
		}
	}
	key := strings.Join([]string{g.key, way.kind, string(rune('0' + index))}, "\xff")
	if !due(s.log[key], firing, resolved, way.resolved, g.route.RouteOpts.RepeatInterval.Milliseconds(), now) {
		return
	}
	s.log[key] = &entry{at: now, firing: firing, resolved: resolved}
	note := wire.Notification{
		Kind: "notification", Receiver: g.route.RouteOpts.Receiver, Integration: way.kind, Urgency: way.urgency,
		Status: "resolved", GroupLabels: plain(g.labels), Alerts: []wire.NotifiedAlert{},
	}
	for _, a := range alerts {
		switch {
		case a.firing:
			note.Status = "firing"
			note.Alerts = append(note.Alerts, wire.NotifiedAlert{Labels: plain(a.labels), Status: "firing"})
		case way.resolved:
			note.Alerts = append(note.Alerts, wire.NotifiedAlert{Labels: plain(a.labels), Status: "resolved"})
		}
	}
	if len(note.Alerts) > 0 {
		s.sent = append(s.sent, Sent{now, note})
	}
}

// due is the rule by which Alertmanager does not say a thing twice (its deduplication stage).
func due(last *entry, firing, resolved map[string]bool, sendResolved bool, repeatMS, now int64) bool {
	switch {
	case last == nil:
		return len(firing) > 0
	case !subset(firing, last.firing):
		return true
	case len(firing) == 0:
		return len(last.firing) > 0
	case sendResolved && !subset(resolved, last.resolved):
		return true
	}
	return last.at < now-repeatMS
}

func subset(part, whole map[string]bool) bool {
	for x := range part {
		if !whole[x] {
			return false
		}
	}
	return true
}

func plain(set model.LabelSet) map[string]string {
	m := make(map[string]string, len(set))
	for k, v := range set {
		m[string(k)] = string(v)
	}
	return m
}
