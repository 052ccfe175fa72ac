// A hand-made recording: two model servers behind a balancer, 50 requests a second, and one fault after the other, as a shadow
// Prometheus would have seen them at one second.

package main

import (
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"modeldown/replay/wire"
)

// started is the wall clock at t = 0.
const started = 1_790_000_000

// scene plays the services second by second.
type scene struct {
	series  map[string]*wire.Series
	second  int64
	rand    *rand.Rand
	servers []*server
	codes   map[string]float64 // of the balancer
	windows []wire.Window
	// What is wrong now.
	degraded, slow, drifted, failing bool
	champion                         string
	// extra series for the benchmark
	extra int
}

type server struct {
	instance         string
	up               bool
	version          string
	begun            int64
	requests         map[string]float64
	degraded         float64
	latency, latSum  map[string]float64
	latCount, latAll float64
	scores           map[string]map[string]float64
	scoreCount       map[string]float64
	expected         map[string]bool
}

var (
	latencyBounds = []string{"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf"}
	scoreBounds   = []string{"0.01", "0.02", "0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "1.0", "+Inf"}
)

func newScene() *scene {
	s := &scene{series: map[string]*wire.Series{}, rand: rand.New(rand.NewSource(1)), champion: "2",
		codes: map[string]float64{"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "other": 0}}
	for _, name := range []string{"model-blue:8000", "model-green:8000"} {
		s.servers = append(s.servers, newServer(name, "2", -100))
	}
	return s
}

func newServer(instance, version string, begun int64) *server {
	return &server{instance: instance, up: true, version: version, begun: begun, requests: map[string]float64{},
		latency: map[string]float64{}, scores: map[string]map[string]float64{}, scoreCount: map[string]float64{},
		expected: map[string]bool{version: true}}
}

// window lets time pass under a name.
func (s *scene) window(id, kind string, seconds, recovery int64, change func(bool)) {
	from := s.second
	if change != nil {
		change(true)
	}
	s.pass(seconds)
	to := s.second
	if change != nil {
		change(false)
	}
	s.pass(recovery)
	w := wire.Window{ID: id, Kind: kind, FromMS: from * 1000, ToMS: s.second * 1000}
	if recovery > 0 {
		w.SteadyToMS = to * 1000
	}
	s.windows = append(s.windows, w)
	if kind == wire.Signature {
		s.pass(5)
	}
}

func (s *scene) pass(seconds int64) {
	for range seconds {
		s.serve()
		s.scrape()
		s.second++
	}
}

// serve answers 50 requests.
func (s *scene) serve() {
	var up []*server
	for _, m := range s.servers {
		if m.up {
			up = append(up, m)
		}
	}
	for i := range 50 {
		if len(up) == 0 || s.failing {
			s.codes["5xx"]++
			if len(up) > 0 {
				up[i%len(up)].requests["500"]++
			}
			continue
		}
		m := up[i%len(up)]
		s.codes["2xx"]++
		m.requests["200"]++
		took := 0.004 + 0.01*s.rand.ExpFloat64()
		if s.slow {
			took = 0.2 + 0.2*s.rand.Float64()
		}
		m.latCount++
		m.latAll += took
		observe(m.latency, latencyBounds, took)
		score := math.Pow(s.rand.Float64(), 8)
		if s.drifted {
			score = math.Pow(s.rand.Float64(), 2)
		}
		if m.scores[m.version] == nil {
			m.scores[m.version] = map[string]float64{}
		}
		observe(m.scores[m.version], scoreBounds, score)
		m.scoreCount[m.version]++
		if s.degraded {
			m.degraded++
		}
	}
}

func observe(h map[string]float64, bounds []string, v float64) {
	for _, b := range bounds {
		bound := math.Inf(1)
		if b != "+Inf" {
			fmt.Sscan(b, &bound)
		}
		if v <= bound {
			h[b]++
		} else {
			h[b] += 0
		}
	}
}

func (s *scene) put(v float64, name, job, instance string, pairs ...string) {
	l := map[string]string{"__name__": name, "job": job, "instance": instance}
	for i := 0; i+1 < len(pairs); i += 2 {
		l[pairs[i]] = pairs[i+1]
	}
	key := strings.Join(append([]string{name, job, instance}, pairs...), "\xff")
	x := s.series[key]
	if x == nil {
		x = &wire.Series{Labels: l}
		s.series[key] = x
	}
	x.Samples = append(x.Samples, wire.Sample{T: s.second*1000 + 123, V: v})
}

// scrape writes down what every target shows.
func (s *scene) scrape() {
	s.put(1, "up", "lb", "lb:8404")
	for code, n := range s.codes {
		s.put(n, "haproxy_backend_http_responses_total", "lb", "lb:8404", "proxy", "models", "code", code)
	}
	for i := range s.extra {
		s.put(float64(s.second*int64(1+i%7)), fmt.Sprintf("filler_%d_total", i%40), "lb", "lb:8404", "n", fmt.Sprint(i))
	}
	s.put(1, "up", "registry", "registry:8080")
	s.put(1, "registry_model_version_alias", "registry", "registry:8080", "name", "fraud", "alias", "champion", "version", s.champion)
	for _, m := range s.servers {
		if !m.up {
			s.put(0, "up", "model", m.instance)
			continue
		}
		s.put(1, "up", "model", m.instance)
		put := func(v float64, name string, pairs ...string) { s.put(v, name, "model", m.instance, pairs...) }
		put(float64(started+m.begun), "process_start_time_seconds")
		put(1, "model_info", "version", m.version)
		for code, n := range m.requests {
			put(n, "inference_requests_total", "code", code)
		}
		put(m.degraded, "inference_degraded_total")
		put(m.latCount, "inference_duration_seconds_count")
		put(m.latAll, "inference_duration_seconds_sum")
		for le, n := range m.latency {
			put(n, "inference_duration_seconds_bucket", "le", le)
		}
		for version, h := range m.scores {
			put(m.scoreCount[version], "inference_score_count", "version", version)
			for le, n := range h {
				put(n, "inference_score_bucket", "version", version, "le", le)
			}
		}
		for version := range m.expected {
			for _, le := range scoreBounds[:len(scoreBounds)-1] {
				var bound float64
				fmt.Sscan(le, &bound)
				put(math.Pow(bound, 1.0/8), "inference_score_expected", "version", version, "le", le)
			}
		}
	}
}

// exam is a live exam with every fault of the brief.
func (s *scene) exam() *scene {
	s.pass(5)
	s.window("healthy-1", wire.Healthy, 90, 0, nil)
	blue, green := s.servers[0], s.servers[1]
	s.window("outage", wire.Signature, 60, 10, func(on bool) {
		for i, m := range s.servers {
			m.up = !on
			if !on {
				s.servers[i] = newServer(m.instance, "2", s.second)
			}
		}
	})
	blue, green = s.servers[0], s.servers[1]
	s.window("healthy-2", wire.Healthy, 30, 0, nil)
	s.window("failing", wire.Signature, 40, 0, func(on bool) { s.failing = on })
	s.window("dead", wire.Signature, 40, 0, func(on bool) { blue.up = !on })
	s.window("degraded", wire.Signature, 40, 0, func(on bool) { s.degraded = on })
	s.window("slow", wire.Signature, 40, 0, func(on bool) { s.slow = on })
	s.window("drift", wire.Signature, 80, 0, func(on bool) { s.drifted = on })
	s.window("wrong", wire.Signature, 40, 0, func(on bool) {
		for _, m := range s.servers {
			m.expected = map[string]bool{"2": !on, "3": on}
			for v, there := range m.expected {
				if !there {
					delete(m.expected, v)
				}
			}
			m.version = map[bool]string{true: "3", false: "2"}[on]
		}
	})
	s.window("deploy", wire.Signature, 20, 0, func(on bool) { green.up = !on })
	s.window("restart", wire.Signature, 8, 4, func(on bool) { green.up = !on })
	s.pass(10)
	return s
}

func (s *scene) recording() wire.Recording {
	r := wire.Recording{IntervalMS: 1000, StartedUnixMS: started * 1000}
	var keys []string
	for k := range s.series {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		r.Series = append(r.Series, *s.series[k])
	}
	return r
}

// incidents are the table of the brief.
func incidents() []wire.Trace {
	return []wire.Trace{
		{ID: "error-burst", Signature: "failing", Share: 0.15, DurationMinutes: 20, AfterMinutes: 30},
		{ID: "total-outage", Signature: "outage", DurationMinutes: 20, AfterMinutes: 30},
		{ID: "slow-burn", Signature: "failing", Share: 0.01, DurationMinutes: 360, AfterMinutes: 30},
		{ID: "latency", Signature: "slow", Share: 0.6, RampMinutes: 15, DurationMinutes: 60, AfterMinutes: 30},
		{ID: "dependency", Signature: "degraded", DurationMinutes: 60, AfterMinutes: 30},
		{ID: "wrong-version", Signature: "wrong", DurationMinutes: 60, AfterMinutes: 30},
		{ID: "dead-replica", Signature: "dead", DurationMinutes: 60, AfterMinutes: 30},
		{ID: "drift", Signature: "drift", DurationMinutes: 1440, AfterMinutes: 30},
		{ID: "quiet", DurationMinutes: 1440, Blemishes: []wire.Blemish{
			{Signature: "failing", Share: 0.0001},
			{Signature: "deploy", DurationSeconds: 20},
			{Signature: "restart", DurationSeconds: 8},
		}},
	}
}

// referenceFiles are the reference's own.
func referenceFiles() map[string]string {
	files := map[string]string{}
	root := "../../model-down/reference"
	for _, pattern := range []string{"prometheus/*.yml", "prometheus/rules/*.yml", "alertmanager/*.yml"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				panic(err)
			}
			rel, _ := filepath.Rel(root, name)
			files[rel] = string(text)
		}
	}
	return files
}

// input is a replay of a scene with the reference's rules.
func (s *scene) input() *wire.Input {
	return &wire.Input{
		Format: 1, Seed: "seed", Files: referenceFiles(),
		Prometheus: "prometheus/prometheus.yml", Alertmanager: "alertmanager/alertmanager.yml",
		Urgencies: map[string][]string{
			"page": {"http://pager:8080/page"}, "ticket": {"http://pager:8080/ticket"}, "heartbeat": {"http://pager:8080/heartbeat"},
		},
		Recording: s.recording(), Windows: s.windows, Traces: incidents(),
	}
}
