// Reading: what Prometheus' engine selects, and how it walks over samples.

package store

import (
	"context"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

type querier struct {
	store *Store
	maxt  int64
}

func (q *querier) Close() error { return nil }

func (q *querier) LabelValues(context.Context, string, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q *querier) LabelNames(context.Context, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Select returns series sorted by their labels, always: the order in which floats are added must not depend on a map.
func (q *querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	var found []storage.Series
	take := func(list []*series) {
	next:
		for _, x := range list {
			for _, m := range ms {
				if !m.Matches(x.labels.Get(m.Name)) {
					continue next
				}
			}
			found = append(found, &view{
				labels: x.labels,
				parts:  [2]part{part{x.preT, x.preV}.until(q.maxt), part{x.t, x.v}.until(q.maxt)},
			})
		}
	}
	name := ""
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			name = m.Value
		}
	}
	if name != "" {
		take(q.store.byName[name])
	} else {
		for _, list := range q.store.byName {
			take(list)
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &set{series: found, at: -1}
}

type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

type part struct {
	t []int64
	v []float64
}

func (p part) until(maxt int64) part {
	if n := len(p.t); n == 0 || p.t[n-1] <= maxt {
		return p
	}
	n := sort.Search(len(p.t), func(i int) bool { return p.t[i] > maxt })
	return part{p.t[:n], p.v[:n]}
}

// view is a series as it was when it was selected.
type view struct {
	labels labels.Labels
	parts  [2]part
}

func (v *view) Labels() labels.Labels { return v.labels }

func (v *view) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return &iterator{now: v.parts[0], later: v.parts[1], i: -1}
}

// iterator walks over floats; there are no native histograms in a recording.
type iterator struct {
	now, later part
	i          int
}

func (it *iterator) Next() chunkenc.ValueType {
	for {
		it.i++
		if it.i >= len(it.now.t) {
			if len(it.later.t) == 0 {
				it.i = len(it.now.t)
				return chunkenc.ValNone
			}
			it.now, it.later, it.i = it.later, part{}, -1
			continue
		}
		if math.Float64bits(it.now.v[it.i]) != absent {
			return chunkenc.ValFloat
		}
	}
}

// millis is a time in ms. The alias tells `go vet` that Seek below is Prometheus', not io.Seeker's.
type millis = int64

func (it *iterator) Seek(t millis) chunkenc.ValueType {
	if it.i >= 0 && it.i < len(it.now.t) && it.now.t[it.i] >= t {
		return chunkenc.ValFloat
	}
	if n := len(it.now.t); len(it.later.t) > 0 && (n == 0 || it.now.t[n-1] < t) {
		it.now, it.later, it.i = it.later, part{}, -1
	}
	from := max(it.i, 0)
	if from < len(it.now.t) {
		rest := it.now.t[from:]
		it.i = from + sort.Search(len(rest), func(i int) bool { return rest[i] >= t }) - 1
	}
	return it.Next()
}

func (it *iterator) At() (int64, float64) { return it.now.t[it.i], it.now.v[it.i] }
func (it *iterator) AtT() int64           { return it.now.t[it.i] }
func (it *iterator) Err() error           { return nil }

func (it *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

func (it *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}
