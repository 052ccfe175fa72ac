// Package store is the storage that rules are replayed on: samples in memory, which a fork shares with what it was forked
// from. Prometheus' own TSDB cannot be forked, and every trace needs the same days of history before it; the tests of package
// engine run the same rules on a real TSDB and compare.
package store

import (
	"context"
	"math"
	"sort"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
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
