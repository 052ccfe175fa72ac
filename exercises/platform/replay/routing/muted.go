// When a route is silent. Whether a page route is ever muted is a property of the configuration, not of one trace: the whole
// year of the traces' calendar is asked, so that "only on the first Sunday of June" is found as well.

package routing

import (
	"time"

	"modeldown/replay/wire"

	"github.com/prometheus/alertmanager/dispatch"
)

// The year is asked at this step.
const mutedStep = 15 * time.Minute

// mutedAt says whether a route's time intervals make it silent at a moment.
func (r *Router) mutedAt(route *dispatch.Route, at time.Time) bool {
	if names := route.RouteOpts.MuteTimeIntervals; len(names) > 0 {
		if muted, _, err := r.times.Mutes(names, at); err == nil && muted {
			return true
		}
	}
	if names := route.RouteOpts.ActiveTimeIntervals; len(names) > 0 {
		if active, _, err := r.times.Mutes(names, at); err == nil && !active {
			return true
		}
	}
	return false
}

// Muted describes every route that has time intervals, for the year of a day.
func (r *Router) Muted(day time.Time) []wire.Muted {
	var lines []wire.Muted
	r.route.Walk(func(route *dispatch.Route) {
		names := append(append([]string{}, route.RouteOpts.MuteTimeIntervals...), route.RouteOpts.ActiveTimeIntervals...)
		if len(names) == 0 {
			return
		}
		line := wire.Muted{
			Kind: "muted", Route: route.Key(), Receiver: route.RouteOpts.Receiver, Intervals: names,
			Urgencies: []string{}, First: []string{},
		}
		for _, way := range r.receivers[route.RouteOpts.Receiver] {
			if way.urgency != "" {
				line.Urgencies = append(line.Urgencies, way.urgency)
			}
		}
		begin := time.Date(day.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		before := false
		for at := begin; at.Year() == day.Year(); at = at.Add(mutedStep) {
			muted := r.mutedAt(route, at)
			if muted {
				line.HoursPerYear += mutedStep.Hours()
				if !before && len(line.First) < 3 {
					line.First = append(line.First, at.Format(time.RFC3339))
				}
			}
			before = muted
		}
		lines = append(lines, line)
	})
	return lines
}
