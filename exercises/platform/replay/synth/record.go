// What scrapes see of a state, and staleness markers where they see nothing any more.

package synth

import (
	"math"

	"modeldown/replay/store"

	"github.com/prometheus/prometheus/model/value"
)

// recorder writes down what scrapes see.
type recorder struct {
	p     *Player
	begin int64
	// targets by index: when it is scraped, and which columns belong to it.
	times   [][]int64
	columns [][]int
	at      []int
	values  [][]float64
	first   []int
}

func (p *Player) recorder(from, until int64) *recorder {
	n := 0
	for i := range p.Tape.Columns {
		n = max(n, p.Tape.Columns[i].Target+1)
	}
	r := &recorder{
		p: p, begin: from, times: make([][]int64, n), columns: make([][]int, n), at: make([]int, n),
		values: make([][]float64, len(p.Tape.Columns)), first: make([]int, len(p.Tape.Columns)),
	}
	for i := range p.Tape.Columns {
		c := &p.Tape.Columns[i]
		if r.times[c.Target] == nil {
			r.times[c.Target] = ticks(c.Job, c.Labels.Get("instance"), p.intervals.Of(c.Job), from, until)
		}
		r.columns[c.Target] = append(r.columns[c.Target], i)
	}
	return r
}

// scrape writes down the targets that are scraped in a second. What a target offered at its last scrape and does not any more
// gets a staleness marker, as Prometheus' scrape loop would write.
func (r *recorder) scrape(s *State, second int64) {
	for target, times := range r.times {
		k := r.at[target]
		if k >= len(times) || times[k]/1000 != second {
			continue
		}
		r.at[target]++
		for _, i := range r.columns[target] {
			if second < r.p.Begins[i] {
				continue
			}
			v := store.Absent()
			switch {
			case s.offered[i]:
				v = s.value[i]
				if r.p.Tape.Columns[i].Kind == Age {
					v = float64(second) - v
				}
			case s.shown[i]:
				v = math.Float64frombits(value.StaleNaN)
			}
			s.shown[i] = s.offered[i]
			if r.values[i] == nil {
				if !s.offered[i] && math.Float64bits(v) != value.StaleNaN {
					continue // nothing yet: a series begins with its first sample
				}
				r.values[i] = make([]float64, 0, len(times)-k)
				r.first[i] = k
			}
			r.values[i] = append(r.values[i], v)
		}
	}
}

func (r *recorder) flush(to *store.Store) {
	for i := range r.values {
		if r.values[i] == nil {
			continue
		}
		c := &r.p.Tape.Columns[i]
		to.Play(c.Labels, r.times[c.Target][r.first[i]:], r.values[i])
	}
}
