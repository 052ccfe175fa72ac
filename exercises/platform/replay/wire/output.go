// The lines that a replay writes. Every line has a `kind`; times are seconds from the trace's onset (negative before it);
// lines come in a fixed order: replay, load_error, notice, rule, muted, then per trace: trace, alert, notification, count,
// panel, rule_error, and at the end limit.

package wire

import (
	"bufio"
	"encoding/json"
	"io"
)

// Replay opens the output and says what was replayed.
type Replay struct {
	Kind   string `json:"kind"` // "replay"
	Format int    `json:"format"`
	Seed   string `json:"seed"`
	Day    string `json:"day"`
	Rules  int    `json:"rules"`
	// SeriesRecorded are all series of the recording, SeriesPlayed those that a rule or query can see.
	SeriesRecorded int `json:"series_recorded"`
	SeriesPlayed   int `json:"series_played"`
	// HealthySeconds is how much healthy recording the quiet time was made of.
	HealthySeconds float64 `json:"healthy_seconds"`
	Rhythm         Rhythm  `json:"rhythm"`
}

// LoadError is something in the candidate's files that Prometheus or Alertmanager would refuse, in their words.
type LoadError struct {
	Kind string `json:"kind"` // "load_error"
	File string `json:"file"`
	// Line is 0 where the tool does not say and the text does not tell.
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// Notice is something the grader should know about the recording; it is not the candidate's fault.
type Notice struct {
	Kind    string `json:"kind"` // "notice"
	Message string `json:"message"`
}

// RuleRef names a rule.
type RuleRef struct {
	File  string `json:"file"`
	Group string `json:"group"`
	Name  string `json:"name"`
	// Index is the rule's place in its group, from 0.
	Index int `json:"index"`
}

// Rule is a rule that was loaded.
type Rule struct {
	Kind      string            `json:"kind"` // "rule"
	Rule      RuleRef           `json:"rule"`
	Type      string            `json:"type"` // "alert" or "record"
	Labels    map[string]string `json:"labels"`
	IntervalS float64           `json:"interval_s"`
	ForS      float64           `json:"for_s"`
	KeepS     float64           `json:"keep_firing_for_s"`
	// Mode is "range" or "lockstep": how it was evaluated (see package engine).
	Mode string `json:"mode"`
}

// Muted says when a route sends nothing because of its time intervals, over the year of the traces' calendar.
type Muted struct {
	Kind     string `json:"kind"` // "muted"
	Route    string `json:"route"`
	Receiver string `json:"receiver"`
	// Urgencies of the receiver's webhooks.
	Urgencies []string `json:"urgencies"`
	Intervals []string `json:"intervals"`
	// HoursPerYear in which the route is silent, and the first few of them.
	HoursPerYear float64  `json:"hours_per_year"`
	First        []string `json:"first"`
}

// TraceLine opens what belongs to a trace.
type TraceLine struct {
	Kind  string `json:"kind"` // "trace"
	Trace string `json:"trace"`
	// Onset on the trace's calendar, RFC 3339.
	Onset string  `json:"onset"`
	FromS float64 `json:"from_s"`
	// EndS is where the fault ends, ToS where the trace does.
	EndS float64 `json:"end_s"`
	ToS  float64 `json:"to_s"`
}

// Change is a moment at which an alert's state changed.
type Change struct {
	AtS   float64 `json:"at_s"`
	State string  `json:"state"` // "pending", "firing", "inactive"
}

// Alert is one alert of one trace or of its twin. The first change may carry the state that it had when the trace began
// (AtS is FromS then).
type Alert struct {
	Kind   string            `json:"kind"` // "alert"
	Trace  string            `json:"trace"`
	Twin   bool              `json:"twin"`
	Rule   RuleRef           `json:"rule"`
	Labels map[string]string `json:"labels"`
	// ChangesTotal is how many changes there were; at most AlertChangesMax are given.
	ChangesTotal int      `json:"changes_total"`
	Changes      []Change `json:"changes"`
}

// Count is how much there was of what a trace or its twin has many lines of, those that were left out included: alerts by
// rule, or notifications by receiver.
type Count struct {
	Kind  string `json:"kind"` // "count"
	Trace string `json:"trace"`
	Twin  bool   `json:"twin"`
	// Rule counts alerts, of which at most AlertsMax are given.
	Rule *RuleRef `json:"rule,omitempty"`
	// Receiver and Urgency count notifications, of which at most NotificationsMax are given.
	Receiver string `json:"receiver,omitempty"`
	Urgency  string `json:"urgency,omitempty"`
	Count    int    `json:"count"`
}

// Bounds of what is written of one trace, or of its twin.
const (
	AlertChangesMax  = 200
	AlertsMax        = 100
	NotificationsMax = 200
)

// NotifiedAlert is an alert in a notification.
type NotifiedAlert struct {
	Labels map[string]string `json:"labels"`
	Status string            `json:"status"` // "firing" or "resolved"
}

// Notification is one message that the candidate's Alertmanager would send.
type Notification struct {
	Kind        string  `json:"kind"` // "notification"
	Trace       string  `json:"trace"`
	Twin        bool    `json:"twin"`
	AtS         float64 `json:"at_s"`
	Receiver    string  `json:"receiver"`
	Integration string  `json:"integration"` // "webhook", "email", ...
	// Urgency is empty where the address is none of the input's.
	Urgency     string            `json:"urgency"`
	Status      string            `json:"status"`
	GroupLabels map[string]string `json:"group_labels"`
	Alerts      []NotifiedAlert   `json:"alerts"`
}

// RuleError is a rule that could not be evaluated at some moments.
type RuleError struct {
	Kind    string  `json:"kind"` // "rule_error"
	Trace   string  `json:"trace"`
	Twin    bool    `json:"twin"`
	Rule    RuleRef `json:"rule"`
	Message string  `json:"message"`
	Count   int     `json:"count"`
	FirstS  float64 `json:"first_s"`
}

// Limit is a rule or query that was given up because it costs too much.
type Limit struct {
	Kind    string   `json:"kind"` // "limit"
	Rule    *RuleRef `json:"rule,omitempty"`
	Query   string   `json:"query,omitempty"`
	Message string   `json:"message"`
}

// PanelSeries is one curve; a null is a moment without data (or NaN).
type PanelSeries struct {
	Labels map[string]string `json:"labels"`
	Values []*float64        `json:"values"`
}

// Panel is a dashboard query over a trace and its twin, on the same moments.
type Panel struct {
	Kind  string  `json:"kind"` // "panel"
	Trace string  `json:"trace"`
	Query string  `json:"query"`
	FromS float64 `json:"from_s"`
	StepS float64 `json:"step_s"`
	// Data says whether the incident's side returned at least one number.
	Data  bool   `json:"data"`
	Error string `json:"error,omitempty"`
	// SeriesTotal is how many curves there were; at most PanelSeriesMax are given.
	SeriesTotal int           `json:"series_total"`
	Incident    []PanelSeries `json:"incident"`
	Twin        []PanelSeries `json:"twin"`
}

// PanelSeriesMax and PanelPointsMax bound what a panel line holds.
const (
	PanelSeriesMax = 24
	PanelPointsMax = 120
)

// Writer writes lines.
type Writer struct {
	out *bufio.Writer
	enc *json.Encoder
}

// NewWriter returns a writer that must be flushed.
func NewWriter(w io.Writer) *Writer {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return &Writer{out: out, enc: enc}
}

// Line writes one line.
func (w *Writer) Line(v any) error { return w.enc.Encode(v) }

// Flush writes out what is buffered.
func (w *Writer) Flush() error { return w.out.Flush() }
