// When a group is evaluated: at its own interval around changes, at a minute's elsewhere. Coarser steps lie on the grid of the
// finer ones, and never become so long that a range over recorded results would miss its samples.

package engine

import (
	"sort"
	"time"
)

// Coarse is the longest step between two evaluations of a group whose own interval is shorter.
const Coarse = time.Minute

// Span is a stretch of time, in ms, [From, To).
type Span struct{ From, To int64 }

// run is a stretch of evaluations at one step, both ends included, in ms.
type run struct{ from, to, step int64 }

// moments are the evaluations of a group between two times, as runs of equal steps, in order.
func moments(interval, window time.Duration, from, to int64, changes []Span) []run {
	fine := max(1, interval.Milliseconds())
	coarse := fine
	if limit := Coarse.Milliseconds(); fine < limit {
		if window > 0 {
			limit = min(limit, window.Milliseconds()/4)
		}
		coarse = max(1, limit/fine) * fine
	}
	var times []int64
	for t := ceil(from, coarse); t < to; t += coarse {
		times = append(times, t)
	}
	if coarse != fine {
		for _, c := range changes {
			for t := ceil(max(from, c.From), fine); t < min(to, c.To); t += fine {
				times = append(times, t)
			}
		}
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return runsOf(times)
}

func ceil(t, step int64) int64 { return (t + step - 1) / step * step }

// runsOf cuts sorted times (doubles allowed) into runs of equal steps.
func runsOf(times []int64) []run {
	var runs []run
	for i, t := range times {
		if i > 0 && t == times[i-1] {
			continue
		}
		if n := len(runs); n > 0 {
			last := &runs[n-1]
			if last.from == last.to && last.step == 0 {
				last.step, last.to = t-last.to, t
				continue
			}
			if t-last.to == last.step {
				last.to = t
				continue
			}
		}
		runs = append(runs, run{from: t, to: t})
	}
	for i := range runs {
		if runs[i].step == 0 {
			runs[i].step = 1
		}
	}
	return runs
}
