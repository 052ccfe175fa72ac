// When a target is scraped: at the candidate's own interval, at an offset of its own, as Prometheus spreads its load.

package synth

import (
	"hash/fnv"
	"time"
)

// Intervals are the scrape intervals by job.
type Intervals struct {
	ByJob   map[string]time.Duration
	Default time.Duration
}

// Of is the interval of a job in whole seconds. Samples are made of seconds: what is scraped more often is played at 1 s.
func (i Intervals) Of(job string) int64 {
	d, ok := i.ByJob[job]
	if !ok {
		d = i.Default
	}
	return max(1, int64(d.Round(time.Second)/time.Second))
}

// ticks are the moments, in ms, at which a target is scraped between two moments in Unix seconds. None is a whole second: rules
// are evaluated at whole seconds, and a range reaches back to a sample at its very begin, so that each window would hold one
// sample more than it does live.
func ticks(job, instance string, interval, from, to int64) []int64 {
	h := fnv.New64a()
	h.Write([]byte(job + "\xff" + instance))
	offset, phase := int64(h.Sum64()%uint64(interval)), 1+int64(h.Sum64()>>32%999)
	first := from - from%interval + offset
	if first < from {
		first += interval
	}
	times := make([]int64, 0, max(0, (to-first)/interval+1))
	for s := first; s < to; s += interval {
		times = append(times, s*1000+phase)
	}
	return times
}
