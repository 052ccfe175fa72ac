// Rates follow the time of day, for healthy traffic and for faults alike. The rhythm is declared in the input.

package synth

import (
	"math"

	"modeldown/replay/wire"
)

// rhythmAt is the factor by which rates are scaled at a moment: 1 at the peak, `low` twelve hours away.
func rhythmAt(r wire.Rhythm, unix int64) float64 {
	hour := float64(unix%86400) / 3600
	return r.Low + (1-r.Low)*(1+math.Cos((hour-r.PeakHour)/24*2*math.Pi))/2
}
