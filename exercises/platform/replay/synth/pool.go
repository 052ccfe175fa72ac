// What healthy is made of: rows of the healthy windows, pooled, without those in which the host was disturbed or a target that
// is up otherwise was not. Strays are taken out here; what a quiet day may show besides is declared, as blemishes.

package synth

import (
	"strings"

	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
)

// PoolEnough is how many seconds of healthy recording a quiet time should be made of.
const PoolEnough = 60

// Pool are the rows to draw from for quiet time.
type Pool struct {
	Rows []int
	// Present says which series exist in quiet time.
	Present []bool
	// Stray marks counters whose few increments are not played.
	Stray []bool
}

// NewPool pools the healthy windows that show the same series: the earliest such set that is long enough, else the longest.
// Windows with other series (after a release, say) would make series come and go at every scrape.
func NewPool(t *Tape, in *wire.Input) *Pool {
	type group struct {
		rows    []int
		present []bool
	}
	var groups []*group
	for _, w := range in.Windows {
		if w.Kind != wire.Healthy {
			continue
		}
		present := shown(t, t.Row(w.FromMS), t.Row(w.ToMS))
		var g *group
		for _, x := range groups {
			if equal(x.present, present) {
				g = x
			}
		}
		if g == nil {
			g = &group{present: present}
			groups = append(groups, g)
		}
		for row := t.Row(w.FromMS); row < t.Row(w.ToMS); row++ {
			if !noisy(t, in.Noise, row) && complete(t, present, row) {
				g.rows = append(g.rows, row)
			}
		}
	}
	var best *group
	for _, g := range groups {
		if float64(len(g.rows))*float64(t.StepMS)/1000 >= PoolEnough {
			best = g
			break
		}
		if best == nil || len(g.rows) > len(best.rows) {
			best = g
		}
	}
	if best == nil {
		return &Pool{Present: make([]bool, len(t.Columns)), Stray: make([]bool, len(t.Columns))}
	}
	p := &Pool{Rows: best.rows, Present: best.present}
	p.Stray = strays(t, p)
	return p
}

// shown says which series are there most of the time between two rows.
func shown(t *Tape, from, to int) []bool {
	present := make([]bool, len(t.Columns))
	for i := range t.Columns {
		n := 0
		for row := from; row < to; row++ {
			if t.Columns[i].Present[row] {
				n++
			}
		}
		present[i] = 2*n > to-from
	}
	return present
}

func equal(a, b []bool) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
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

// complete: everything that should be there is, and every target that is there is up.
func complete(t *Tape, present []bool, row int) bool {
	for i := range t.Columns {
		c := &t.Columns[i]
		if present[i] && !c.Present[row] {
			return false
		}
		if present[i] && c.Kind == Health && c.Labels.Get(labels.MetricName) == "up" && c.Value[row] == 0 {
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
	count := map[string]int{}
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
			count[histogramOf(c.Labels, base)] = i
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
			if j, ok := count[histogramOf(c.Labels, base)]; ok {
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
