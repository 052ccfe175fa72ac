// Package engine runs the candidate's rules in Prometheus' own rule engine, in virtual time.
//
//	load.go    the candidate's files, and what Prometheus says of them
//	reach.go   which series a rule looks at, and how far back
//	order.go   which rule needs which other one first
//	fit.go     what must be played for all of them
//	clock.go   when a group is evaluated
//	query.go   evaluating an expression at many moments
//	budget.go  what a rule may cost
//	hostile.go what no budget stops
//	evaluate.go one rule, moment by moment
//	run.go     all rules over a timeline
//	outcome.go what their alerts did
//	panel.go   dashboard queries
package engine

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"modeldown/replay/wire"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/dns"  // registers dns_sd_configs, which exercises allow
	_ "github.com/prometheus/prometheus/discovery/file" // registers file_sd_configs
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Rule is one rule as it was loaded.
type Rule struct {
	Ref      wire.RuleRef
	Alert    bool
	Expr     parser.Expr
	Labels   labels.Labels
	For      time.Duration
	Keep     time.Duration
	Interval time.Duration
	Offset   time.Duration
	Limit    int

	// place is the rule's place among all rules, group the place of its group among all groups.
	place, group int
}

// Config is what a replay needs of the candidate's Prometheus.
type Config struct {
	Rules []*Rule
	// External are the labels that leave Prometheus with every alert; Relabel is what is done to alerts on the way out.
	External labels.Labels
	Relabel  []*relabel.Config
	// Scrape are the scrape intervals by job.
	Scrape        map[string]time.Duration
	ScrapeDefault time.Duration
	// Evaluation is the global evaluation interval.
	Evaluation time.Duration
}

// Load reads Prometheus' configuration and its rule files. What cannot be loaded is reported; a rule file with an error leaves
// the others alone, so that a report can still say what they find (Prometheus itself would refuse to start).
func Load(in *wire.Input) (*Config, []wire.LoadError) {
	cfg := &Config{Scrape: map[string]time.Duration{}, ScrapeDefault: time.Minute, Evaluation: time.Minute}
	text, ok := in.Files[in.Prometheus]
	if !ok {
		return cfg, []wire.LoadError{Failure(in.Prometheus, "", fmt.Errorf("there is no such file"))}
	}
	prom, err := config.Load(text, false, log.NewNopLogger())
	if err != nil {
		return cfg, []wire.LoadError{Failure(in.Prometheus, text, err)}
	}
	var errs []wire.LoadError
	cfg.External = prom.GlobalConfig.ExternalLabels
	cfg.ScrapeDefault = time.Duration(prom.GlobalConfig.ScrapeInterval)
	cfg.Evaluation = time.Duration(prom.GlobalConfig.EvaluationInterval)
	cfg.Relabel = append(cfg.Relabel, prom.AlertingConfig.AlertRelabelConfigs...)
	for i, am := range prom.AlertingConfig.AlertmanagerConfigs {
		if i == 0 {
			cfg.Relabel = append(cfg.Relabel, am.AlertRelabelConfigs...)
		}
	}
	separate := match(in, prom.ScrapeConfigFiles)
	errs = append(errs, cfg.scrapes(in.Prometheus, prom, text)...)
	for _, file := range separate {
		// Such a file has jobs only; what it leaves out it takes from the main file.
		global := fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: %s}\n", prom.GlobalConfig.ScrapeInterval, prom.GlobalConfig.ScrapeTimeout)
		more, err := config.Load(global+in.Files[file], false, log.NewNopLogger())
		if err != nil {
			errs = append(errs, Failure(file, in.Files[file], err))
			continue
		}
		errs = append(errs, cfg.scrapes(file, more, in.Files[file])...)
	}
	for _, file := range match(in, prom.RuleFiles) {
		errs = append(errs, cfg.loadRules(file, in.Files[file], time.Duration(prom.GlobalConfig.EvaluationInterval),
			time.Duration(prom.GlobalConfig.RuleQueryOffset))...)
	}
	// Some of Prometheus' checks walk over maps.
	sort.SliceStable(errs, func(a, b int) bool {
		if errs[a].File != errs[b].File {
			return errs[a].File < errs[b].File
		}
		if errs[a].Line != errs[b].Line {
			return errs[a].Line < errs[b].Line
		}
		return errs[a].Message < errs[b].Message
	})
	return cfg, errs
}

// scrapes notes the scrape intervals of a configuration's jobs.
func (c *Config) scrapes(file string, prom *config.Config, text string) []wire.LoadError {
	prom.ScrapeConfigFiles = nil // they would be read from this machine
	jobs, err := prom.GetScrapeConfigs()
	if err != nil {
		return []wire.LoadError{Failure(file, text, err)}
	}
	for _, s := range jobs {
		c.Scrape[s.JobName] = time.Duration(s.ScrapeInterval)
	}
	return nil
}

// match resolves patterns against the candidate's files, as Prometheus does against its folder.
func match(in *wire.Input, patterns []string) []string {
	var files []string
	for _, p := range patterns {
		if !path.IsAbs(p) {
			p = path.Join(path.Dir(in.Prometheus), p)
		} else {
			// In the image the folder of prometheus.yml is mounted somewhere; what is below it is what counts.
			p = path.Join(path.Dir(in.Prometheus), strings.TrimPrefix(p, "/etc/prometheus/"))
		}
		for name := range in.Files {
			if ok, _ := path.Match(p, path.Clean(name)); ok && !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	sort.Strings(files)
	return files
}

func (c *Config) loadRules(file, text string, interval, offset time.Duration) []wire.LoadError {
	groups, problems := rulefmt.Parse([]byte(text))
	var errs []wire.LoadError
	for _, err := range problems {
		errs = append(errs, Failure(file, text, err))
	}
	if len(errs) > 0 {
		return errs
	}
	group := 0
	if n := len(c.Rules); n > 0 {
		group = c.Rules[n-1].group + 1
	}
	for _, g := range groups.Groups {
		every := interval
		if g.Interval != 0 {
			every = time.Duration(g.Interval)
		}
		late := offset
		if g.QueryOffset != nil {
			late = time.Duration(*g.QueryOffset)
		}
		for i, r := range g.Rules {
			expr, err := parser.ParseExpr(r.Expr.Value)
			if err != nil {
				errs = append(errs, Failure(file, text, err))
				continue
			}
			name := r.Record.Value
			if r.Alert.Value != "" {
				name = r.Alert.Value
			}
			c.Rules = append(c.Rules, &Rule{
				Ref:   wire.RuleRef{File: file, Group: g.Name, Name: name, Index: i},
				Alert: r.Alert.Value != "", Expr: expr, Labels: labels.FromMap(r.Labels),
				For: time.Duration(r.For), Keep: time.Duration(r.KeepFiringFor),
				Interval: every, Offset: late, Limit: g.Limit, place: len(c.Rules), group: group,
			})
		}
		group++
	}
	return errs
}

var (
	yamlLine  = regexp.MustCompile(`\bline (\d+)`)
	rulesLine = regexp.MustCompile(`^(\d+):(\d+): `)
	quoted    = regexp.MustCompile("[\"'`]([^\"'`]+)[\"'`]")
)

// Failure words an error of a file, Alertmanager's too: the tool's own message, and the line that it names or, where it names
// none, the first line that has the quoted word that it complains about.
func Failure(file, text string, err error) wire.LoadError {
	message := strings.TrimSpace(err.Error())
	e := wire.LoadError{Kind: "load_error", File: file, Message: message}
	if m := rulesLine.FindStringSubmatch(message); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		return e
	}
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		return e
	}
	for _, m := range quoted.FindAllStringSubmatch(message, -1) {
		for i, line := range strings.Split(text, "\n") {
			if strings.Contains(line, m[1]) {
				e.Line = i + 1
				return e
			}
		}
	}
	return e
}

// Sent is what Alertmanager receives of an alert: with external labels, and relabelled. False means that it is dropped.
func (c *Config) Sent(alert labels.Labels) (labels.Labels, bool) {
	b := labels.NewBuilder(alert)
	c.External.Range(func(l labels.Label) {
		if alert.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	})
	if !relabel.ProcessBuilder(b, c.Relabel...) {
		return labels.EmptyLabels(), false
	}
	return b.Labels(), true
}
