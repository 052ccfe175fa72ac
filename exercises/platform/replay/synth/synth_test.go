package synth

import (
	"math"
	"testing"
	"time"

	"modeldown/replay/store"
	"modeldown/replay/wire"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const (
	wall     = int64(1_790_000_000) // the recording's t = 0
	midnight = int64(1_772_582_400) // 2026-03-04
)

// tape is built series by series: a value for each second, NaN for none.
type recorded struct {
	in *wire.Input
}

func record() *recorded {
	return &recorded{&wire.Input{
		Format: 1, Seed: "s", Recording: wire.Recording{IntervalMS: 1000, StartedUnixMS: wall * 1000},
		Rhythm: &wire.Rhythm{Low: 1, PeakHour: 12},
	}}
}

func (r *recorded) series(seconds int, value func(s int) float64, pairs ...string) *recorded {
	l := labels.FromStrings(pairs...).Map()
	if l["job"] == "" {
		l["job"], l["instance"] = "model", "blue"
	}
	x := wire.Series{Labels: l}
	for s := range seconds {
		if v := value(s); !math.IsNaN(v) {
			x.Samples = append(x.Samples, wire.Sample{T: int64(s)*1000 + 300, V: v})
		}
	}
	r.in.Recording.Series = append(r.in.Recording.Series, x)
	return r
}

func (r *recorded) window(id, kind string, from, steady, end, to int64) *recorded {
	r.in.Windows = append(r.in.Windows, wire.Window{ID: id, Kind: kind, FromMS: from * 1000, ToMS: to * 1000,
		SteadyFromMS: steady * 1000, SteadyToMS: end * 1000})
	return r
}

func (r *recorded) player(interval time.Duration) *Player {
	tape := NewTape(r.in, func(labels.Labels) bool { return true })
	return NewPlayer(tape, NewPool(tape, r.in), r.in, Intervals{Default: interval})
}

// day plays quiet time for two hours, and the same with a fault from one hour on for so many minutes.
func (p *Player) day(t *testing.T, window wire.Window, minutes int64, share float64) (quiet, trace *store.Store) {
	t.Helper()
	onset, end := midnight+3600, midnight+7200
	quiet = store.New(0)
	states := p.Play(quiet, p.Start(midnight), end, nil, []int64{onset})
	trace = quiet.Fork(onset*1000, onset*1000)
	segment := p.Segment(window, "t", onset, onset+minutes*60, share, 0)
	p.Play(trace, states[onset], end, []*Segment{segment}, nil)
	return quiet, trace
}

type point struct {
	minute float64 // from onset
	v      float64
}

func read(s *store.Store, pairs ...string) []point {
	q, _ := s.Querier(0, math.MaxInt64)
	var ms []*labels.Matcher
	for i := 0; i < len(pairs); i += 2 {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, pairs[i], pairs[i+1]))
	}
	set := q.Select(nil, true, nil, ms...)
	var all []point
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			ts, v := it.At()
			all = append(all, point{float64(ts-(midnight+3600)*1000) / 60000, v})
		}
	}
	return all
}

func at(points []point, minute float64) float64 {
	v := math.NaN()
	for _, p := range points {
		if p.minute <= minute {
			v = p.v
		}
	}
	return v
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s: %v, want %v +- %v", what, got, want, tolerance)
	}
}

func up(int) float64 { return 1 }

// (a) A row is one moment of all series: what agrees in the recording agrees in the trace.
func TestRowsAreDrawnJointly(t *testing.T) {
	count, fast := 0.0, 0.0
	counts, fasts := map[int]float64{}, map[int]float64{}
	for s := range 200 {
		n := float64(10 + s%13)
		count, fast = count+n, fast+math.Floor(n/2)
		counts[s], fasts[s] = count, fast
	}
	r := record().series(200, up, "__name__", "up").
		series(200, func(s int) float64 { return counts[s] }, "__name__", "took_count").
		series(200, func(s int) float64 { return counts[s] }, "__name__", "took_bucket", "le", "+Inf").
		series(200, func(s int) float64 { return fasts[s] }, "__name__", "took_bucket", "le", "0.1").
		window("h", wire.Healthy, 10, 10, 150, 150)
	p := r.player(15 * time.Second)
	quiet := store.New(0)
	p.Play(quiet, p.Start(midnight), midnight+7200, nil, nil)
	total, all, some := read(quiet, "__name__", "took_count"), read(quiet, "le", "+Inf"), read(quiet, "le", "0.1")
	for i := 1; i < len(total); i++ {
		if math.Abs((total[i].v-total[0].v)-(all[i].v-all[0].v)) > 1e-6 {
			t.Fatalf("the largest bucket and the count have parted: %v, %v", total[i], all[i])
		}
		if some[i].v-some[i-1].v > all[i].v-all[i-1].v {
			t.Fatal("a bucket has outgrown a larger one")
		}
	}
	rate := (total[len(total)-1].v - total[0].v) / (float64(len(total)-1) * 15)
	near(t, "requests a second", rate, 16, 0.3)
}

// (b) Onset and offset play at real speed, the steady part is stretched.
func TestOnlyTheSteadyPartIsStretched(t *testing.T) {
	level := func(s int) float64 {
		switch {
		case s < 100 || s >= 150:
			return 0
		case s < 110: // climbs for ten seconds
			return float64(s-100) * 10
		case s < 140:
			return 100
		}
		return 100 - float64(s-140)*10 // and falls for ten
	}
	r := record().series(200, up, "__name__", "up").series(200, level, "__name__", "level").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 140, 150)
	p := r.player(time.Second)
	_, trace := p.day(t, r.in.Windows[1], 10, 1)
	got := read(trace, "__name__", "level")
	near(t, "in the sixth second", at(got, 5.999/60), 50, 10)
	near(t, "in the middle", at(got, 5), 100, 0)
	near(t, "just before the end", at(got, 9.98), 100, 0)
	near(t, "in the sixth second after the end", at(got, 10+5.999/60), 50, 10)
	near(t, "a minute after the end", at(got, 11), 0, 0)
}

// (c) Increments are added up; a reset in the recording is a reset in the trace.
func TestCountersKeepResets(t *testing.T) {
	value := []float64{5, 7, 9, 2, 4, 4, 10}
	present := []bool{true, true, true, true, true, false, true}
	step, reset := increments(value, present)
	want := []float64{0, 2, 2, 2, 2, 0, 6}
	for i := range want {
		if step[i] != want[i] || reset[i] != (i == 3) {
			t.Errorf("row %d: increment %v, reset %v", i, step[i], reset[i])
		}
	}
	count := func(s int) float64 {
		if s >= 110 {
			return float64(s-110) * 10 // begun again ten seconds into the fault
		}
		return float64(s+50) * 10
	}
	r := record().series(200, up, "__name__", "up").series(200, count, "__name__", "requests_total").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 120, 150, 150)
	p := r.player(15 * time.Second)
	_, trace := p.day(t, r.in.Windows[1], 10, 1)
	falls := 0
	got := read(trace, "__name__", "requests_total")
	for i := 1; i < len(got); i++ {
		if got[i].v < got[i-1].v {
			falls++
		}
	}
	if falls != 1 {
		t.Errorf("the counter falls %d times, want once", falls)
	}
}

// (c) A partial fault mixes rates linearly, takes no target away, and switches gauges sample by sample.
func TestPartialFaultsMix(t *testing.T) {
	fault := func(s int) bool { return s >= 100 && s < 150 }
	good, bad := 0.0, 0.0
	goods, bads := map[int]float64{}, map[int]float64{}
	for s := range 200 {
		if fault(s) {
			bad += 50
		} else {
			good += 50
		}
		goods[s], bads[s] = good, bad
	}
	down := func(s int) float64 {
		if fault(s) {
			return 0
		}
		return 1
	}
	r := record().series(200, down, "__name__", "up").
		series(200, func(s int) float64 { return goods[s] }, "__name__", "requests_total", "code", "200").
		series(200, func(s int) float64 { return bads[s] }, "__name__", "requests_total", "code", "500").
		series(200, down, "__name__", "light").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 150, 150)
	p := r.player(15 * time.Second)
	_, trace := p.day(t, r.in.Windows[1], 30, 0.2)
	ok, fails := read(trace, "code", "200"), read(trace, "code", "500")
	served, failed := at(ok, 30)-at(ok, 0), at(fails, 30)-at(fails, 0)
	near(t, "share of errors", failed/(served+failed), 0.2, 0.005)
	for _, x := range read(trace, "__name__", "up") {
		if x.v != 1 {
			t.Fatal("a fault that meets a fifth of the traffic took the target away")
		}
	}
	dark, n := 0.0, 0.0
	for _, x := range read(trace, "__name__", "light") {
		if x.minute > 0 && x.minute < 30 {
			n++
			dark += 1 - x.v
		}
	}
	near(t, "share of samples of a gauge", dark/n, 0.2, 0.12)
	// One request in a hundred changes no state.
	_, trace = p.day(t, r.in.Windows[1], 30, 0.01)
	for _, x := range read(trace, "__name__", "light") {
		if x.v != 1 {
			t.Fatal("what few requests meet is seen by a gauge")
		}
	}
}

// What a target shows of two states, one of which only a share of the traffic meets, it never shows at once.
func TestPartialFaultsShowOneStateAtATime(t *testing.T) {
	info := func(inFault bool) func(s int) float64 {
		return func(s int) float64 {
			if inFault != (s >= 100 && s < 150) {
				return math.NaN()
			}
			return 1
		}
	}
	r := record().series(200, up, "__name__", "up").
		series(200, info(false), "__name__", "model_info", "version", "3").
		series(200, info(true), "__name__", "model_info", "version", "4").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 150, 150)
	p := r.player(time.Second)
	_, trace := p.day(t, r.in.Windows[1], 30, 0.5)
	shown := map[float64]int{}
	for _, x := range read(trace, "__name__", "model_info") {
		if !math.IsNaN(x.v) {
			shown[x.minute]++
		}
	}
	for minute, n := range shown {
		if n != 1 {
			t.Fatalf("%d versions at minute %v", n, minute)
		}
	}
	if n := len(read(trace, "version", "4")); n == 0 {
		t.Error("the other version is never seen")
	}
}

// (c) The rhythm scales rates: at the peak the recorded rate, twelve hours away the lowest.
func TestRhythm(t *testing.T) {
	r := wire.Rhythm{Low: 0.4, PeakHour: 14}
	near(t, "peak", rhythmAt(r, midnight+14*3600), 1, 1e-9)
	near(t, "night", rhythmAt(r, midnight+2*3600), 0.4, 1e-9)
	near(t, "between", rhythmAt(r, midnight+8*3600), 0.7, 1e-9)
}

// (d) Times move along with the trace, and jump only where the recorded process began again.
func TestTimesAreRebased(t *testing.T) {
	begun := func(s int) float64 {
		if s >= 120 {
			return float64(wall + 115)
		}
		return float64(wall - 600)
	}
	heartbeat := func(s int) float64 { return float64(wall + int64(s-s%5)) }
	uptime := func(s int) float64 { return float64(s + 600) }
	r := record().series(300, up, "__name__", "up").series(300, begun, "__name__", "process_start_time_seconds").
		series(300, heartbeat, "__name__", "last_success_timestamp_seconds").series(300, uptime, "__name__", "uptime_seconds").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 110, 130, 150, 150)
	p := r.player(15 * time.Second)
	quiet, trace := p.day(t, r.in.Windows[1], 10, 1)
	onset := float64(midnight + 3600)
	near(t, "begin in quiet time", at(read(quiet, "__name__", "process_start_time_seconds"), 50), float64(midnight)-610, 2)
	near(t, "begin after the fault", at(read(trace, "__name__", "process_start_time_seconds"), 50), onset+5, 2)
	near(t, "heartbeat", at(read(quiet, "__name__", "last_success_timestamp_seconds"), 50), onset+3000, 60)
	near(t, "uptime", at(read(quiet, "__name__", "uptime_seconds"), 50), 6600+610, 17)
	near(t, "uptime is no matter of the fault", at(read(trace, "__name__", "uptime_seconds"), 50), 6600+610, 17)
}

// (d) What leaks in the steady part leaks on in a straight line.
func TestLeaksGoOn(t *testing.T) {
	memory := func(s int) float64 {
		if s >= 100 && s < 150 {
			return 1000 + float64(s-100)*10
		}
		return 1000 + float64(s%3)
	}
	r := record().series(200, up, "__name__", "up").series(200, memory, "__name__", "memory_bytes").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 150, 150)
	p := r.player(15 * time.Second)
	_, trace := p.day(t, r.in.Windows[1], 20, 1)
	near(t, "after twenty minutes", at(read(trace, "__name__", "memory_bytes"), 19.9), 1000+19.9*60*10, 200)
}

// (d) A series that a fault brings to life begins at its onset. It is not there before, with zero or otherwise.
func TestSeriesAreBornAtTheOnset(t *testing.T) {
	errors := func(s int) float64 {
		if s < 103 {
			return math.NaN()
		}
		return float64(min(s, 150)-102) * 5
	}
	r := record().series(200, up, "__name__", "up").series(200, errors, "__name__", "errors_total").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 150, 150)
	p := r.player(15 * time.Second)
	quiet, trace := p.day(t, r.in.Windows[1], 10, 1)
	if got := read(quiet, "__name__", "errors_total"); len(got) != 0 {
		t.Errorf("it is there in quiet time: %v", got[:1])
	}
	got := read(trace, "__name__", "errors_total")
	if got[0].minute < 0 || got[0].minute > 0.5 || got[0].v <= 0 {
		t.Errorf("it begins with %v", got[0])
	}
	near(t, "it stays after the fault", at(got, 59), at(got, 11), 0)
	near(t, "it counts", at(got, 10)-at(got, 5), 5*60*5, 80)
}

// A target that is gone leaves a staleness marker and nothing more, and its counters begin again if its process did.
func TestADeadTargetGoesStale(t *testing.T) {
	dead := func(s int) bool { return s >= 100 && s < 150 }
	alive := func(s int) float64 {
		if dead(s) {
			return 0
		}
		return 1
	}
	count := func(s int) float64 {
		if dead(s) {
			return math.NaN()
		}
		if s >= 150 {
			return float64(s - 149)
		}
		return float64(s + 1000)
	}
	r := record().series(200, alive, "__name__", "up").series(200, count, "__name__", "requests_total").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 105, 150, 150)
	p := r.player(15 * time.Second)
	_, trace := p.day(t, r.in.Windows[1], 10, 1)
	near(t, "up", at(read(trace, "__name__", "up"), 5), 0, 0)
	stale, others := 0, 0
	var after []point
	for _, x := range read(trace, "__name__", "requests_total") {
		if x.minute > 0 && x.minute < 10 {
			if value.IsStaleNaN(x.v) {
				stale++
			} else {
				others++
			}
		}
		if x.minute > 10 {
			after = append(after, x)
		}
	}
	if stale != 1 || others != 0 {
		t.Errorf("%d staleness markers and %d samples while it is dead", stale, others)
	}
	if after[0].v > 60 {
		t.Errorf("it comes back with %v", after[0])
	}
}

// A twin has the same noise: until the onset both are the same, and what the fault does not touch stays the same.
func TestTwinsHaveTheSameNoise(t *testing.T) {
	total := 0.0
	counts := map[int]float64{}
	for s := range 200 {
		total += float64(5 + s%7)
		counts[s] = total
	}
	r := record().series(200, up, "__name__", "up").
		series(200, func(s int) float64 { return counts[s] }, "__name__", "requests_total").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 100, 110, 150, 150)
	p := r.player(15 * time.Second)
	quiet, trace := p.day(t, r.in.Windows[1], 10, 1)
	a, b := read(quiet, "__name__", "requests_total"), read(trace, "__name__", "requests_total")
	for i := range a {
		if a[i].minute < 0 && a[i] != b[i] {
			t.Fatalf("before the onset: %v and %v", a[i], b[i])
		}
	}
	end := len(a) - 1
	near(t, "after the fault both grow alike", b[end].v-at(b, 30), a[end].v-at(a, 30), 1e-6)
}

// A few errors in the healthy seconds are strays; a slow but regular counter is not.
func TestStraysAreNotStretched(t *testing.T) {
	strayed := func(s int) float64 { return float64(min(3, max(0, s-40))) }
	r := record().series(200, up, "__name__", "up").
		series(200, func(s int) float64 { return float64(s * 50) }, "__name__", "requests_total", "code", "200").
		series(200, strayed, "__name__", "requests_total", "code", "500").
		series(200, func(s int) float64 { return float64(s / 10) }, "__name__", "beats_total").
		window("h", wire.Healthy, 10, 10, 90, 90)
	p := r.player(15 * time.Second)
	quiet := store.New(0)
	p.Play(quiet, p.Start(midnight), midnight+7200, nil, nil)
	errors, beats := read(quiet, "code", "500"), read(quiet, "__name__", "beats_total")
	near(t, "errors in two hours", at(errors, 60)-at(errors, -60+1), 0, 0)
	near(t, "beats in an hour", at(beats, 60)-at(beats, 0), 360, 60)
}

// Healthy seconds in which a target was missed, or the host was noisy, are not drawn.
func TestDisturbedSecondsAreLeftOut(t *testing.T) {
	flaky := func(s int) float64 {
		if s == 40 {
			return 0
		}
		return 1
	}
	r := record().series(200, flaky, "__name__", "up").window("h", wire.Healthy, 10, 10, 90, 90)
	r.in.Noise = []wire.Span{{50_000, 52_000}}
	p := r.player(15 * time.Second)
	for _, row := range p.Pool.Rows {
		if row == 40 || row == 50 || row == 51 {
			t.Errorf("row %d is drawn", row)
		}
	}
	// Rows begin 0.3 s after the full second here: row 49 reaches into the noise too.
	if len(p.Pool.Rows) != 76-lead {
		t.Errorf("%d rows", len(p.Pool.Rows))
	}
}

// A target that never answers is down on quiet days as well, and takes nothing else away.
func TestATargetThatIsNeverUpDisturbsNothing(t *testing.T) {
	down := func(int) float64 { return 0 }
	r := record().series(200, up, "__name__", "up").
		series(200, down, "__name__", "up", "job", "dashboards", "instance", "grafana:3000").
		window("h", wire.Healthy, 10, 10, 90, 90)
	p := r.player(15 * time.Second)
	if len(p.Pool.Rows) != 80-lead {
		t.Errorf("%d rows", len(p.Pool.Rows))
	}
}

// Scrapes come at the candidate's interval, at an offset of the target's own.
func TestScrapesKeepTheirInterval(t *testing.T) {
	for _, interval := range []int64{1, 15, 30, 60} {
		times := ticks("model", "blue", interval, midnight, midnight+3600)
		if n := int64(len(times)); n != 3600/interval {
			t.Errorf("%d s: %d scrapes in an hour", interval, n)
		}
		for i := 1; i < len(times); i++ {
			if times[i]-times[i-1] != interval*1000 {
				t.Errorf("%d s: %d ms between scrapes", interval, times[i]-times[i-1])
			}
			if times[i]%1000 == 0 {
				t.Fatalf("%d s: a scrape at a whole second, when rules are evaluated", interval)
			}
		}
	}
}

// A target that answers slowly is scraped every other second, and is no target that comes and goes.
func TestSlowTargetsDoNotFlicker(t *testing.T) {
	every := func(v func(int) float64) func(int) float64 {
		return func(s int) float64 {
			if s%2 == 1 {
				return math.NaN()
			}
			return v(s)
		}
	}
	r := record().series(200, every(up), "__name__", "up").
		series(200, every(func(s int) float64 { return float64(s * 3) }), "__name__", "requests_total").
		window("h", wire.Healthy, 10, 10, 90, 90)
	p := r.player(15 * time.Second)
	quiet := store.New(0)
	p.Play(quiet, p.Start(midnight), midnight+7200, nil, nil)
	got := read(quiet, "__name__", "requests_total")
	for _, x := range got {
		if value.IsStaleNaN(x.v) {
			t.Fatal("it goes stale")
		}
	}
	near(t, "rate", (at(got, 60)-at(got, 0))/3600, 3, 0.2)
}

// Healthy windows in the same state are pooled, whatever earlier faults have left behind; after a release they are not.
func TestHealthyWindowsArePooledByState(t *testing.T) {
	left := func(s int) float64 {
		if s < 100 {
			return math.NaN()
		}
		return 7
	}
	counts := func(from, to int) func(int) float64 {
		return func(s int) float64 { return float64(max(from, min(to, s))) }
	}
	r := record().series(300, up, "__name__", "up").
		series(300, left, "__name__", "requests_total", "code", "500").
		series(300, counts(0, 200), "__name__", "scores_count", "version", "2").
		window("a", wire.Healthy, 10, 10, 50, 50).window("b", wire.Healthy, 120, 120, 160, 160).
		window("after a release", wire.Healthy, 220, 220, 290, 290)
	p := r.player(15 * time.Second)
	if n := len(p.Pool.Rows); n != 80-2*lead {
		t.Errorf("%d rows, want those of the first two windows", n)
	}
}

// The first rows of a healthy window count what came before it, unless that was healthy too.
func TestWhatWasBeforeAHealthyWindowIsNotHealthy(t *testing.T) {
	failed := func(s int) float64 { return float64(20 * min(s, 50)) }
	all := func(s int) float64 { return float64(50 * s) }
	r := record().series(300, up, "__name__", "up").
		series(300, all, "__name__", "requests_total", "code", "200").
		series(300, failed, "__name__", "requests_total", "code", "500").
		window("a", wire.Healthy, 50, 50, 90, 90).window("b", wire.Healthy, 90, 90, 100, 100)
	p := r.player(15 * time.Second)
	if n := len(p.Pool.Rows); n != 50-lead {
		t.Errorf("%d rows, want all but the first %d", n, lead)
	}
	for _, row := range p.Pool.Rows {
		for i := range p.Tape.Columns {
			if c := &p.Tape.Columns[i]; c.Labels.Get("code") == "500" && c.Step[row] > 0 {
				t.Errorf("row %d has failures of before", row)
			}
		}
	}
}

// What was so before a fault is not its doing: a series that an earlier one brought to life, one that an earlier one took.
func TestAFaultIsNotChargedWithWhatWasBefore(t *testing.T) {
	born := func(s int) float64 {
		if s < 100 {
			return math.NaN()
		}
		return 7
	}
	lost := func(s int) float64 {
		if s >= 100 {
			return math.NaN()
		}
		return float64(s)
	}
	light := func(s int) float64 {
		if s >= 150 {
			return 0
		}
		return 1
	}
	r := record().series(300, up, "__name__", "up").series(300, light, "__name__", "light").
		series(300, born, "__name__", "requests_total", "code", "500").series(300, lost, "__name__", "requests_total", "code", "404").
		window("h", wire.Healthy, 10, 10, 90, 90).window("w", wire.Signature, 150, 155, 190, 190)
	p := r.player(15 * time.Second)
	_, trace := p.day(t, r.in.Windows[1], 10, 1)
	near(t, "the fault shows", at(read(trace, "__name__", "light"), 5), 0, 0)
	if got := read(trace, "code", "500"); len(got) > 0 {
		t.Errorf("it brings along what was there before: %v", got[0])
	}
	got := read(trace, "code", "404")
	near(t, "what was gone before goes on", at(got, 9)-at(got, 1), 8*60, 40)
}
