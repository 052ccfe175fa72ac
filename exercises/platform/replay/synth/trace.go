// All of it together: second by second the rows are drawn, increments added up, and at a target's scrape what it would show
// then is written down.

package synth

import (
	"modeldown/replay/store"
	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
)

// Player makes traces of one recording.
type Player struct {
	Tape *Tape
	Pool *Pool
	// Begins is the second from which on a series is needed, by column: a series that is only looked at five minutes back
	// needs no days of history.
	Begins []int64

	rhythm    wire.Rhythm
	seed      uint64
	seedText  string
	intervals Intervals
	// dense[row] are the healthy increments of all counters in that row: added up once a second.
	counters []int
	dense    [][]float64
	// What each window does to each column: the lines that gauges follow, and how what went away comes back.
	leaks     map[string]map[int]leak
	backs     map[string][]comeback
	untouched map[string][]bool
	// ups is the column of `up` of each column's target, or -1.
	ups []int
}

// answers says whether a column's target answered its scrape in a row.
func (p *Player) answers(column, row int) bool {
	up := p.ups[column]
	return up >= 0 && p.Tape.Columns[up].Present[row] && p.Tape.Columns[up].Value[row] == 1
}

// targetOf names the target of a column.
func targetOf(c *Column) string { return c.Job + "\xff" + c.Labels.Get("instance") }

// NewPlayer prepares a recording for playing.
func NewPlayer(t *Tape, p *Pool, in *wire.Input, intervals Intervals) *Player {
	pl := &Player{
		Tape: t, Pool: p, Begins: make([]int64, len(t.Columns)), rhythm: *in.Rhythm,
		seed: stream(in.Seed, "healthy"), seedText: in.Seed, intervals: intervals, leaks: map[string]map[int]leak{},
		backs: map[string][]comeback{}, untouched: map[string][]bool{},
	}
	ups := map[string]int{}
	for i := range t.Columns {
		if t.Columns[i].Kind == Counter {
			pl.counters = append(pl.counters, i)
		}
		if t.Columns[i].Labels.Get(labels.MetricName) == "up" {
			ups[targetOf(&t.Columns[i])] = i
		}
	}
	for i := range t.Columns {
		up, ok := ups[targetOf(&t.Columns[i])]
		if !ok {
			up = -1
		}
		pl.ups = append(pl.ups, up)
	}
	for _, row := range p.Rows {
		steps := make([]float64, len(pl.counters))
		for j, i := range pl.counters {
			if p.Present[i] && !p.Stray[i] && !t.Columns[i].Reset[row] {
				steps[j] = t.Columns[i].Step[row]
			}
		}
		pl.dense = append(pl.dense, steps)
	}
	return pl
}

// Segment lays out a window in production time. It is not for concurrent use; playing is.
func (p *Player) Segment(w wire.Window, purpose string, from, to int64, share float64, ramp int64) *Segment {
	s := NewSegment(p.Tape, w, p.seedText, purpose, from, to, share, ramp)
	if p.leaks[w.ID] == nil {
		found := map[int]leak{}
		for i := range p.Tape.Columns {
			if c := &p.Tape.Columns[i]; c.Kind == Gauge {
				if l, ok := leakOf(c, p.Tape, s.steady); ok {
					found[i] = l
				}
			}
		}
		p.leaks[w.ID] = found
		backs := make([]comeback, len(p.Tape.Columns))
		for i := range backs {
			backs[i] = comebackOf(&p.Tape.Columns[i], s.onset.from, s.offset.from)
		}
		p.backs[w.ID] = backs
		p.untouched[w.ID] = untouched(p.Tape, p.Pool, rowsOf(p.Tape, w))
	}
	return s
}

// State is everything that a moment needs to know of the moments before.
type State struct {
	second int64
	// value of counters and gauges; of times and ages the instant that they stand for.
	value []float64
	// offered says whether the target offers the series now, shown whether its last scrape did.
	offered, shown []bool
	// born marks series that a fault brought to life.
	born []bool
	// gone remembers the segment in which a series went away, to know how it comes back.
	gone []*Segment
}

func (s *State) copy(second int64) *State {
	return &State{
		second: second,
		value:  append([]float64(nil), s.value...), offered: append([]bool(nil), s.offered...),
		shown: append([]bool(nil), s.shown...), born: append([]bool(nil), s.born...),
		gone: append([]*Segment(nil), s.gone...),
	}
}

// Start is the state in which quiet time begins, at a Unix second.
func (p *Player) Start(second int64) *State {
	n := len(p.Tape.Columns)
	s := &State{
		second: second, value: make([]float64, n), offered: append([]bool(nil), p.Pool.Present...),
		shown: make([]bool, n), born: make([]bool, n), gone: make([]*Segment, n),
	}
	if len(p.Pool.Rows) == 0 {
		return s
	}
	row := p.Pool.Rows[0]
	for i := range p.Tape.Columns {
		c := &p.Tape.Columns[i]
		if !p.Pool.Present[i] {
			continue
		}
		s.value[i] = c.Value[row]
		if c.Kind == Time || c.Kind == Age {
			s.value[i] = rebase(c, p.Tape, row, second)
		}
	}
	return s
}

// Play plays from a state up to a second, with segments on top of quiet time, into a store. It returns copies of the state
// at the seconds asked for (ascending): traces that fork from this one begin there.
func (p *Player) Play(to *store.Store, from *State, until int64, segments []*Segment, forks []int64) map[int64]*State {
	out := p.recorder(from.second, until)
	states := map[int64]*State{}
	s := from.copy(from.second)
	for second := s.second; second < until; second++ {
		for len(forks) > 0 && forks[0] <= second {
			states[forks[0]] = s.copy(second)
			forks = forks[1:]
		}
		p.advance(s, second, segments)
		out.scrape(s, second)
	}
	out.flush(to)
	return states
}

// advance brings the state to the end of a second.
func (p *Player) advance(s *State, second int64, segments []*Segment) {
	if len(p.Pool.Rows) == 0 {
		return
	}
	draws := draw(p.seed, second) % uint64(len(p.Pool.Rows))
	row := p.Pool.Rows[draws]
	factor := rhythmAt(p.rhythm, second)
	active := false
	for _, g := range segments {
		if _, _, ok := g.rowAt(p.Tape, second); ok {
			active = true
		}
	}
	// Rows are as long as the shadow's interval; a second has so many of them.
	perSecond := 1000 / float64(p.Tape.StepMS)
	steps := p.dense[draws]
	if !active {
		for j, i := range p.counters {
			s.value[i] += factor * perSecond * steps[j]
		}
		p.quiet(s, row, second)
		return
	}
	added := make([]float64, len(p.Tape.Columns))
	for j, i := range p.counters {
		added[i] = perSecond * steps[j]
	}
	p.quiet(s, row, second)
	for _, g := range segments {
		if r, steady, ok := g.rowAt(p.Tape, second); ok {
			p.disturb(s, g, r, steady, second, perSecond, added)
		}
	}
	for _, i := range p.counters {
		if s.offered[i] {
			s.value[i] += factor * added[i]
		}
	}
}

// quiet is what a healthy row means for everything but counters, and brings back what a fault had taken away.
func (p *Player) quiet(s *State, row int, second int64) {
	for i := range p.Tape.Columns {
		c := &p.Tape.Columns[i]
		if !p.Pool.Present[i] {
			// What a fault brought to life: counters stay where they are, gauges go with the fault.
			if s.born[i] && c.Kind != Counter {
				s.offered[i], s.born[i] = false, false
			}
			continue
		}
		back := !s.offered[i]
		s.offered[i] = true
		switch c.Kind {
		case Counter:
			if back && s.gone[i] != nil {
				if b := p.backs[s.gone[i].Window.ID][i]; b.again {
					s.value[i] = b.value
				}
			}
		case Time, Age:
			if c.Moved[row] {
				s.value[i] = rebase(c, p.Tape, row, second)
			} else if back && s.gone[i] != nil {
				if p.backs[s.gone[i].Window.ID][i].again {
					s.value[i] = float64(second)
				}
			}
		default:
			s.value[i] = c.Value[row]
		}
		s.gone[i] = nil
	}
}

// disturb lays a row of a fault over what a healthy row has said.
func (p *Player) disturb(s *State, g *Segment, row int, steady bool, second int64, perSecond float64, added []float64) {
	share := g.shareAt(second)
	whole := share >= 1
	switched := g.switches(second, share)
	untouched := p.untouched[g.Window.ID]
	for i := range p.Tape.Columns {
		if untouched[i] {
			continue
		}
		c := &p.Tape.Columns[i]
		there := c.Present[row]
		if whole && !there {
			if s.offered[i] {
				s.offered[i], s.gone[i] = false, g
			}
			added[i] = 0
			continue
		}
		// A fault that only a share of the traffic meets takes no target away, and says nothing of its scrapes. What a target that answers
		// shows no more, or shows only then, comes and goes with the values of gauges: two versions in one place would be news.
		if c.Kind == Gauge && !whole && !there && switched && p.answers(i, row) {
			if s.offered[i] {
				s.offered[i], s.gone[i] = false, g
			}
			continue
		}
		if c.Kind == Gauge && there && !switched && !p.Pool.Present[i] {
			continue
		}
		if !there {
			added[i] = mix(added[i], 0, share)
			continue
		}
		if !s.offered[i] {
			s.offered[i], s.born[i] = true, !p.Pool.Present[i]
			if c.Kind == Counter {
				s.value[i] = c.Value[row] * share
				added[i] = 0
				continue
			}
		}
		switch c.Kind {
		case Counter:
			if whole && c.Reset[row] {
				s.value[i], added[i] = c.Value[row], 0
			} else {
				added[i] = mix(added[i], perSecond*c.Step[row], share)
			}
		case Health:
			if whole {
				s.value[i] = c.Value[row]
			}
		case Time, Age:
			if whole && c.Moved[row] || s.born[i] && s.value[i] == 0 {
				s.value[i] = rebase(c, p.Tape, row, second)
			}
		case Gauge:
			if !switched {
				continue
			}
			s.value[i] = c.Value[row]
			if l, ok := p.leaks[g.Window.ID][i]; ok && steady && whole {
				begun := g.From + g.onset.len()*p.Tape.StepMS/1000
				s.value[i] = l.at + l.perSecond*float64(second-begun)
			}
		}
	}
}

// Labels of all columns, in order.
func (p *Player) Labels() []labels.Labels {
	all := make([]labels.Labels, len(p.Tape.Columns))
	for i := range p.Tape.Columns {
		all[i] = p.Tape.Columns[i].Labels
	}
	return all
}
