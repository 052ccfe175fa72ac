// What healthy is made of: rows of the healthy windows, pooled, without those in which the host was disturbed or a target that
// is up otherwise was not. Strays are taken out here; what a quiet day may show besides is declared, as blemishes.

package synth

import (
	"strings"

	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
)

// PoolEnough is how many seconds of healthy recording a quiet time should be made of: at a scrape a second as many whole scrapes to
// draw from, which the least even of metrics needs.
const PoolEnough = 36

// lead is how many rows at the start of a healthy window may tell of what was before it: a row is of the scrape up to a second after its
// moment, and a counter's step in it began a second before that.
const lead = 2

// Pool are the rows to draw from for quiet time.
type Pool struct {
	Rows []int
	// Present says which series exist in quiet time.
	Present []bool
	// Stray marks counters whose few increments are not played.
	Stray []bool
}

// NewPool pools the healthy windows that show the same state as one of them: the earliest for which that is long enough, else
// the one for which it is longest. Windows in another state (after a release, say) would make series come and go at every
// scrape.
func NewPool(t *Tape, in *wire.Input) *Pool {
	best := &Pool{Present: make([]bool, len(t.Columns)), Stray: make([]bool, len(t.Columns))}
	for _, w := range in.Windows {
		if w.Kind != wire.Healthy {
			continue
		}
		p := &Pool{Present: shown(t, rowsOf(t, w))}
		up := alive(t, p.Present, rowsOf(t, w))
		for _, other := range in.Windows {
			if other.Kind != wire.Healthy || !alike(t, p.Present, rowsOf(t, w), rowsOf(t, other)) {
				continue
			}
			own := rowsOf(t, other)
			if !goesOn(in, other, t.StepMS) {
				own.from += lead
			}
			for row := own.from; row < own.to; row++ {
				if !noisy(t, in.Noise, row) && complete(t, p.Present, up, row) {
					p.Rows = append(p.Rows, row)
				}
			}
		}
		if len(p.Rows) > len(best.Rows) {
			best = p
		}
		if float64(len(p.Rows))*float64(t.StepMS)/1000 >= PoolEnough {
			break
		}
	}
	best.Stray = strays(t, best)
	return best
}

// goesOn says whether a healthy window begins where another ends: what was before it was healthy too.
func goesOn(in *wire.Input, w wire.Window, stepMS int64) bool {
	for _, other := range in.Windows {
		if other.Kind == wire.Healthy && other.ToMS <= w.FromMS && w.FromMS-other.ToMS < stepMS {
			return true
		}
	}
	return false
}

func rowsOf(t *Tape, w wire.Window) rows { return rows{t.Row(w.FromMS), t.Row(w.ToMS)} }

// shown says which series are there most of the time.
func shown(t *Tape, r rows) []bool {
	present := make([]bool, len(t.Columns))
	for i := range t.Columns {
		present[i] = 2*count(r, func(row int) bool { return t.Columns[i].Present[row] }) > int(r.len())
	}
	return present
}

func count(r rows, is func(row int) bool) int {
	n := 0
	for row := r.from; row < r.to; row++ {
		if is(row) {
			n++
		}
	}
	return n
}

// A counter that still counts in another window counts there at least at this share of its pace.
const samePace = 0.2

// alike says whether another window shows the state of the first: everything that is there in the first is there in the other,
// what counts there counts here, and flags stand where they stood. Series that an earlier fault brought to life may be there
// besides.
func alike(t *Tape, present []bool, first, other rows) bool {
	there := shown(t, other)
	for i := range t.Columns {
		if !present[i] {
			continue
		}
		if !there[i] {
			return false
		}
		c := &t.Columns[i]
		switch c.Kind {
		case Counter:
			// Only what counts in most rows: rare events say nothing about a short window.
			pace := func(r rows) float64 {
				return float64(count(r, func(row int) bool { return c.Step[row] > 0 })) / float64(max(1, r.len()))
			}
			if before := pace(first); before > 0.5 && pace(other) < samePace*before {
				return false
			}
		case Gauge:
			a, b := c.Value[first.from], c.Value[other.from]
			if a != b && flag(c, first) && flag(c, other) {
				return false
			}
		}
	}
	return true
}

// flag says whether a gauge stands at 0 or 1.
func flag(c *Column, r rows) bool {
	v := c.Value[r.from]
	return (v == 0 || v == 1) && count(r, func(row int) bool { return c.Present[row] && c.Value[row] != v }) == 0
}

func noisy(t *Tape, noise []wire.Span, row int) bool {
	from := t.StartMS + int64(row)*t.StepMS
	for _, n := range noise {
		if from < n[1] && from+t.StepMS > n[0] {
			return true
		}
	}
	return false
}

// alive marks `up` of the targets that are up most of the time. One that never answers is down on quiet days as well.
func alive(t *Tape, present []bool, r rows) []bool {
	up := make([]bool, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		isUp := func(row int) bool { return c.Present[row] && c.Value[row] == 1 }
		up[i] = present[i] && c.Kind == Health && c.Labels.Get(labels.MetricName) == "up" && 2*count(r, isUp) > int(r.len())
	}
	return up
}

// complete: everything that should be there is, and every target that is up otherwise is.
func complete(t *Tape, present, up []bool, row int) bool {
	for i := range t.Columns {
		c := &t.Columns[i]
		if present[i] && !c.Present[row] || up[i] && c.Value[row] == 0 {
			return false
		}
	}
	return true
}

// A stray is at most this share of what its siblings count, or, where it has none, so many events in the whole pool.
const (
	strayShare  = 0.01
	strayEvents = 3
)

// strays finds the counters that count a few errors by chance: three in ten seconds, stretched to a day, would page all day.
// A counter is judged against the series of the same metric and target that counts most; a histogram as a whole, by its
// count.
func strays(t *Tape, p *Pool) []bool {
	total := make([]float64, len(t.Columns))
	most := map[string]float64{}
	siblings := map[string]int{}
	counts := map[string]int{}
	family := func(c *Column) string {
		return c.Labels.Get(labels.MetricName) + "\xff" + c.Job + "\xff" + c.Labels.Get("instance")
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Kind != Counter || !p.Present[i] {
			continue
		}
		for _, row := range p.Rows {
			total[i] += c.Step[row]
		}
		most[family(c)] = max(most[family(c)], total[i])
		siblings[family(c)]++
		if base, suffix := familyOf(c.Labels.Get(labels.MetricName)); suffix == "_count" {
			counts[histogramOf(c.Labels, base)] = i
		}
	}
	stray := make([]bool, len(t.Columns))
	judge := func(i int) bool {
		f := family(&t.Columns[i])
		if siblings[f] > 1 {
			return total[i] <= strayShare*most[f]
		}
		return total[i] <= strayEvents
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Kind != Counter || !p.Present[i] {
			continue
		}
		base, suffix := familyOf(c.Labels.Get(labels.MetricName))
		if suffix == "_bucket" || suffix == "_sum" {
			if j, ok := counts[histogramOf(c.Labels, base)]; ok {
				stray[i] = judge(j)
			}
			continue
		}
		stray[i] = judge(i)
	}
	return stray
}

// histogramOf names the histogram that a bucket, count or sum belongs to.
func histogramOf(l labels.Labels, base string) string {
	rest := labels.NewBuilder(l).Del(labels.MetricName, "le").Labels()
	return strings.Join([]string{base, rest.String()}, "\xff")
}
