// Counters are played as increments, never as values: so their samples can be drawn in any order, mixed and scaled, and what
// is added up again only ever falls where the recorded process began again.

package synth

// increments turns values into what was added in each row. Where a counter is lower than before, its process has begun again:
// the increment is its value since then. What happens over a gap counts in the first row after it. A series that is born adds
// nothing in its first row: it appears.
func increments(value []float64, present []bool) (step []float64, reset []bool) {
	step, reset = make([]float64, len(value)), make([]bool, len(value))
	seen := false
	last := 0.0
	for row := range value {
		if !present[row] {
			continue
		}
		switch {
		case !seen:
		case value[row] < last:
			step[row], reset[row] = value[row], true
		default:
			step[row] = value[row] - last
		}
		seen, last = true, value[row]
	}
	return step, reset
}

// mix is the increment of a counter of which a share of the traffic meets the fault: rates add up linearly.
func mix(healthy, fault, share float64) float64 {
	return (1-share)*healthy + share*fault
}

// comeback is how a series returns that a fault took away: from nothing, or where it was.
type comeback struct {
	again bool
	// value is what a counter shows when it begins again.
	value float64
}

// After this many rows without a return, the return was not recorded.
const comebackRows = 600

// comebackOf looks up how a series came back that was gone in a window. A process that was only paused goes on where it was.
// What never came back is taken to begin again.
func comebackOf(c *Column, from, to int) comeback {
	last, seen, lost := 0.0, false, false
	for row := max(0, from-comebackRows); row < min(len(c.Present), to+comebackRows); row++ {
		switch {
		case !c.Present[row]:
			lost = lost || row >= from
			continue
		case lost && c.Kind == Counter:
			return comeback{again: !seen || c.Value[row] < last, value: c.Value[row]}
		case lost:
			return comeback{again: c.Moved == nil || c.Moved[row]}
		}
		last, seen = c.Value[row], true
	}
	return comeback{again: true}
}
