// Appending: what rules record.

package store

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

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
