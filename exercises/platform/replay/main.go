// Command replay runs a candidate's alerting rules and Alertmanager configuration in production time.
//
//	replay < input.json > output.jsonl
//
// # Input
//
// One JSON object, wire.Input: the candidate's files; the recording that a shadow Prometheus made at one second of the
// candidate's own targets during a live exam; which stretches of it were healthy and which show a fault (windows); the stories
// to play (traces); dashboard queries; limits.
//
// # Output
//
// JSON lines, the types of wire/output.go, in a fixed order:
//
//	replay        once: what was replayed
//	load_error    what Prometheus or Alertmanager would refuse, with file and line
//	notice        what the grader should know about its recording
//	rule          every rule that was loaded
//	muted         every route with time intervals: when it is silent
//	trace         then, trace by trace, in the input's order:
//	alert         what each alert did, for the incident and (`twin`) for the same time without it
//	notification  what Alertmanager would send, for both
//	count         how many of both there were, those left out included
//	panel         dashboard queries over both
//	rule_error    rules that could not be evaluated at some moments
//	limit         rules and queries that were given up because they cost too much
//
// Times are seconds from the trace's onset.
//
// # How it works
//
// Package synth makes quiet days of the healthy seconds: the base. Every trace is a fork of the base at its onset; its twin is
// the base itself, so that the noise is the same by construction. Package engine runs the rules over the base once and over
// every fork, in Prometheus' own rule engine. Package routing plays the alerts that leave Prometheus through the candidate's
// Alertmanager configuration.
//
// The same input gives the same bytes: no network, no clock, no randomness but the seed's. Only which rules are given up for
// taking too long (limits in seconds) depends on the machine.
//
// # Exit codes
//
//	0  replayed; what is wrong with the candidate's files is in the output
//	2  the input is not what this program reads: a fault of the grader
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"modeldown/replay/wire"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(2)
	}
}

// run reads an input and writes its output.
func run(in io.Reader, out io.Writer) error {
	var input wire.Input
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&input); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	if err := input.Check(); err != nil {
		return err
	}
	w := wire.NewWriter(out)
	if err := replay(&input, w); err != nil {
		return err
	}
	return w.Flush()
}
