// Package store is the storage that rules are replayed on: samples in memory, which a fork shares with what it was forked
// from. Prometheus' own TSDB cannot be forked, and every trace needs the same days of history before it; the tests of package
// engine run the same rules on a real TSDB and compare.
package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// absent marks a time stamp of a shared list at which a series has no sample. It is a NaN that neither arithmetic nor
// Prometheus' staleness marker produces.
const absent uint64 = 0x7ff80000_ab5e2700

// LabelsMax is how many bytes the labels of a recorded series may have.
const LabelsMax = 64 << 10

// Absent is the value to append where a series has no sample at a time stamp of its target.
func Absent() float64 { return math.Float64frombits(absent) }

// Series is one series: what it shares with its origin, and what is its own.
type series struct {
	labels   labels.Labels
	derived  bool
	preT, t  []int64
	preV, v  []float64
	lastTime int64
}

func (x *series) last() float64 {
	if n := len(x.v); n > 0 {
		return x.v[n-1]
	}
	return x.preV[len(x.preV)-1]
}

// Store holds series. It is safe for concurrent use.
type Store struct {
	mu     sync.RWMutex
	byKey  map[string]*series
	byName map[string][]*series
	// maxDerived bounds the series that rules may add.
	maxDerived, derived int
}

// New returns an empty store in which rules may record so many series.
func New(maxDerived int) *Store {
	return &Store{byKey: map[string]*series{}, byName: map[string][]*series{}, maxDerived: maxDerived}
}

func (s *Store) add(l labels.Labels, derived bool) *series {
	x := &series{labels: l, derived: derived, lastTime: math.MinInt64}
	s.byKey[string(l.Bytes(nil))] = x
	name := l.Get(labels.MetricName)
	s.byName[name] = append(s.byName[name], x)
	if derived {
		s.derived++
	}
	return x
}

// Play adds a synthesised series: the samples at times (shared between the series of a target), where values may be Absent.
// A series that a fork shares with its origin continues after what it shares.
func (s *Store) Play(l labels.Labels, times []int64, values []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byKey[string(l.Bytes(nil))]
	if x == nil {
		x = s.add(l, false)
	}
	x.t, x.v = times[:len(values)], values
	if n := len(values); n > 0 {
		x.lastTime = times[n-1]
	}
}

// Fork returns a store that shares what was played before playedMS and what rules recorded before derivedMS.
func (s *Store) Fork(playedMS, derivedMS int64) *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := New(s.maxDerived)
	for _, x := range s.byKey {
		cut := playedMS
		if x.derived {
			cut = derivedMS
		}
		n := sort.Search(len(x.t), func(i int) bool { return x.t[i] >= cut })
		if n == 0 && x.derived {
			continue
		}
		y := f.add(x.labels, x.derived)
		y.preT, y.preV = x.t[:n:n], x.v[:n:n]
		if n > 0 {
			y.lastTime = x.t[n-1]
		}
	}
	return f
}

// Until returns a view in which nothing after the given time has happened yet.
func (s *Store) Until(maxMS int64) storage.Queryable {
	return storage.QueryableFunc(func(_, maxt int64) (storage.Querier, error) {
		return &querier{store: s, maxt: min(maxt, maxMS)}, nil
	})
}

// Querier implements storage.Queryable.
func (s *Store) Querier(_, maxt int64) (storage.Querier, error) {
	return &querier{store: s, maxt: maxt}, nil
}

// Appender implements storage.Appendable, for the results of rules.
func (s *Store) Appender(context.Context) storage.Appender { return &appender{store: s} }

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

type pending struct {
	labels labels.Labels
	t      int64
	v      float64
}

type appender struct {
	store   *Store
	samples []pending
}

// Append refuses what Prometheus' head would refuse, at once rather than on Commit, as the head does.
func (a *appender) Append(_ storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	key := l.Bytes(nil)
	if len(key) > LabelsMax {
		return 0, fmt.Errorf("a series has labels of more than %d bytes", LabelsMax)
	}
	a.store.mu.RLock()
	x := a.store.byKey[string(key)]
	full := x == nil && a.store.derived+len(a.samples) >= a.store.maxDerived
	a.store.mu.RUnlock()
	if full {
		return 0, fmt.Errorf("rules record more than %d series", a.store.maxDerived)
	}
	if x != nil {
		if t < x.lastTime {
			return 0, storage.ErrOutOfOrderSample
		}
		if t == x.lastTime {
			if last := x.last(); math.Float64bits(last) != math.Float64bits(v) {
				return 0, storage.ErrDuplicateSampleForTimestamp
			}
			return 0, nil
		}
	}
	a.samples = append(a.samples, pending{l, t, v})
	return 0, nil
}

func (a *appender) Commit() error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	for _, p := range a.samples {
		x := a.store.byKey[string(p.labels.Bytes(nil))]
		if x == nil {
			x = a.store.add(p.labels, true)
		}
		if p.t <= x.lastTime {
			continue
		}
		x.t, x.v, x.lastTime = append(x.t, p.t), append(x.v, p.v), p.t
	}
	a.samples = nil
	return nil
}

func (a *appender) Rollback() error { a.samples = nil; return nil }

func (a *appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *appender) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, fmt.Errorf("native histograms cannot be recorded")
}

func (a *appender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *appender) AppendCTZeroSample(storage.SeriesRef, labels.Labels, int64, int64) (storage.SeriesRef, error) {
	return 0, nil
}
