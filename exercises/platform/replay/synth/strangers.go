// Whether a fault was recorded in the state that quiet time shows. After a release other versions are served: a fault recorded
// then brings them along, and looks like a change of version.

package synth

import "modeldown/replay/wire"

// strangersMax bounds how many series a notice names.
const strangersMax = 5

// Strangers names series that were there right before a window and are not part of quiet time.
func Strangers(t *Tape, p *Pool, w wire.Window) []string {
	row := t.Row(w.FromMS) - 1
	var names []string
	for i := range t.Columns {
		c := &t.Columns[i]
		// A counter that an earlier fault brought to life stands still; it changes nothing.
		if row < 0 || !c.Present[row] || p.Present[i] || c.Kind == Counter && still(c, t.Row(w.FromMS), t.Row(w.ToMS)) {
			continue
		}
		if len(names) == strangersMax {
			return append(names, "...")
		}
		names = append(names, c.Labels.String())
	}
	return names
}

func still(c *Column, from, to int) bool {
	for row := from; row < to; row++ {
		if c.Step[row] != 0 {
			return false
		}
	}
	return true
}
