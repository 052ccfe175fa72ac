// What must be played for rules and panels, and what is too much. A rule that looks at every series over days would ask for more
// samples than fit into memory: the greediest are given up until the rest fits.

package engine

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Never is when a series must begin that nothing looks at.
const Never = math.MaxInt64

// Demand is the span that is evaluated, in ms: from, to, and the earliest moment that is played at all.
type Demand struct{ From, To, Earliest int64 }

// consumer is a rule or a panel, and what it looks at from when on.
type consumer struct {
	looks  []look
	begins []int64 // by look
	drop   func(why string)
	gone   bool
}

func (c *consumer) begin(series labels.Labels, earliest int64) int64 {
	begin := int64(Never)
	for i, l := range c.looks {
		if c.begins[i] < begin && l.sees(series) {
			begin = max(earliest, c.begins[i])
		}
	}
	return begin
}

// Fit says for each series from when on it must be there (ms; Never: not at all), giving up rules and panels until no more
// than so many samples are asked for. every is a series' scrape interval in ms.
func Fit(s *Set, p *Panels, series []labels.Labels, every func(labels.Labels) int64, d Demand, samples int64) []int64 {
	consumers := append(s.consumers(d, p.looks()), p.consumers(d)...)
	// wants[i][j] is from when on consumer i needs series j.
	wants := make([][]int64, len(consumers))
	for i, c := range consumers {
		wants[i] = make([]int64, len(series))
		for j, l := range series {
			wants[i][j] = c.begin(l, d.Earliest)
		}
	}
	cost := func(begins []int64) (n int64) {
		for j, begin := range begins {
			if begin != Never {
				n += (d.To - begin) / every(series[j])
			}
		}
		return n
	}
	for {
		begins := make([]int64, len(series))
		for j := range begins {
			begins[j] = Never
			for i, c := range consumers {
				if !c.gone {
					begins[j] = min(begins[j], wants[i][j])
				}
			}
		}
		if cost(begins) <= samples {
			return begins
		}
		greediest, most := -1, int64(-1)
		for i, c := range consumers {
			if n := cost(wants[i]); !c.gone && n > most {
				greediest, most = i, n
			}
		}
		consumers[greediest].gone = true
		consumers[greediest].drop(fmt.Sprintf("looks at too many samples: %d of them, all rules and queries together may look at %d", most, samples))
	}
}

// consumers computes from when on each unit must be evaluated so that everything is right from d.From on, for panels too.
func (s *Set) consumers(d Demand, panels []look) []*consumer {
	s.begins = map[*Unit]int64{}
	for _, u := range s.Units {
		s.begins[u] = d.From
		for _, r := range u.Rules {
			for _, l := range panels {
				if !r.produces(l) {
					continue
				}
				s.begins[u] = max(d.Earliest, min(s.begins[u], d.From-l.back.Milliseconds()))
				if l.window > 0 {
					u.window = smaller(u.window, l.window)
				}
			}
		}
	}
	for i := len(s.Units) - 1; i >= 0; i-- {
		u := s.Units[i]
		// Units that read themselves may remember anything.
		if len(u.Rules) > 1 {
			s.begins[u] = d.Earliest
		}
		for need, back := range u.reads {
			s.begins[need] = max(d.Earliest, min(s.begins[need], s.begins[u]-back.Milliseconds()-Coarse.Milliseconds()))
		}
	}
	var all []*consumer
	for _, u := range s.Units {
		for _, r := range u.Rules {
			sight := sightOf(r.Expr)
			at := s.begins[u] - r.Offset.Milliseconds()
			if sight.timeBound {
				at = d.Earliest
			}
			all = append(all, newConsumer(sight.looks, at, func(why string) { s.giveUp(r, why) }))
		}
	}
	return all
}

func newConsumer(looks []look, at int64, drop func(string)) *consumer {
	c := &consumer{looks: looks, drop: drop}
	for _, l := range looks {
		c.begins = append(c.begins, at-l.back.Milliseconds())
	}
	return c
}

// looks are the selectors of all queries that parse.
func (p *Panels) looks() []look {
	var all []look
	for _, q := range p.queries {
		if q.err == nil {
			all = append(all, sightOf(q.expr).looks...)
		}
	}
	return all
}

// consumers are the queries that parse.
func (p *Panels) consumers(d Demand) []*consumer {
	var all []*consumer
	for _, q := range p.queries {
		if q.err == nil {
			all = append(all, newConsumer(sightOf(q.expr).looks, d.From, func(why string) { q.over = why }))
		}
	}
	return all
}

// Settle is how long before a timeline's begin alerts are evaluated, so that what would be pending or firing then is.
func (s *Set) Settle() time.Duration {
	d := time.Duration(0)
	for _, r := range s.Config.Rules {
		d = max(d, r.For+r.Keep)
	}
	return d + 15*time.Minute
}
