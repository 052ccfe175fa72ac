// Times are moved from the recording's clock to the trace's, ages follow from them, and what leaks in a fault leaks on.

package synth

import "math"

// instant is the point in time that a time or an age stands for, on the recording's clock.
func instant(c *Column, t *Tape, row int) float64 {
	if c.Kind == Age {
		return t.Unix(row) - c.Value[row]
	}
	return c.Value[row]
}

// moves marks the rows in which the instant changed: a process began, a job succeeded once more. An age jitters by as much
// as its scrape does.
func moves(c *Column, t *Tape) []bool {
	moved := make([]bool, t.Rows)
	tolerance := 0.0
	if c.Kind == Age {
		tolerance = 1.5
	}
	last, seen := 0.0, false
	for row := 0; row < t.Rows; row++ {
		if !c.Present[row] {
			continue
		}
		now := instant(c, t, row)
		if seen && math.Abs(now-last) > tolerance {
			moved[row] = true
			last = now
		}
		if !seen {
			last = now
		}
		seen = true
	}
	return moved
}

// rebase puts an instant that was `then` at a row at the same distance from `now`.
func rebase(c *Column, t *Tape, row int, now int64) float64 {
	return float64(now) + instant(c, t, row) - t.Unix(row)
}

// leak is a straight line that a gauge follows in the steady part of a fault.
type leak struct {
	at, perSecond float64
}

// Less of a fit than this, or fewer rows, and it is no line but noise.
const (
	leakFit  = 0.98
	leakRows = 10
)

// leakOf fits a line through the steady part (least squares) and says whether the gauge follows it.
func leakOf(c *Column, t *Tape, r rows) (leak, bool) {
	var n, sx, sy, sxx, sxy, syy float64
	for row := r.from; row < r.to; row++ {
		if !c.Present[row] {
			return leak{}, false
		}
		x, y := float64(int64(row-r.from)*t.StepMS)/1000, c.Value[row]
		n, sx, sy, sxx, sxy, syy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y, syy+y*y
	}
	vx, vy, cov := n*sxx-sx*sx, n*syy-sy*sy, n*sxy-sx*sy
	if n < leakRows || vx <= 0 || vy <= 1e-9*math.Abs(sy*sy) || cov*cov/(vx*vy) < leakFit {
		return leak{}, false
	}
	slope := cov / vx
	return leak{at: (sy - slope*sx) / n, perSecond: slope}, true
}
