// What a fault says nothing about, because it was so before; and whether it was recorded in the state that quiet time shows.
// After a release other versions are served: a fault recorded then brings them along, and looks like a change of version.

package synth

import "modeldown/replay/wire"

const (
	// strangersMax bounds how many series a notice names.
	strangersMax = 5
	// beforeRows is how many rows before a window tell how things were.
	beforeRows = 5
)

// hadBefore says whether a series was there right before a window.
func hadBefore(c *Column, from int) bool {
	return count(rows{max(0, from-beforeRows), from}, func(row int) bool { return c.Present[row] }) > 0
}

// untouched marks the series about which a window says nothing: those of quiet time that were gone before it already and stay
// away, and those that an earlier fault brought to life and that stand still.
func untouched(t *Tape, p *Pool, window rows) []bool {
	marks := make([]bool, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		before := hadBefore(c, window.from)
		if p.Present[i] {
			marks[i] = !before && count(window, func(row int) bool { return c.Present[row] }) == 0
		} else {
			marks[i] = before && still(c, window)
		}
	}
	return marks
}

// still says whether a series shows nothing but the value that it had before a window, as long as it is there.
func still(c *Column, window rows) bool {
	row := window.from - 1
	for row > 0 && !c.Present[row] {
		row--
	}
	v := c.Value[max(0, row)]
	return count(window, func(row int) bool { return c.Present[row] && c.Value[row] != v }) == 0
}

// Strangers names series that were there right before a window, are not part of quiet time, and do not stand still: they will
// be played as if the fault had brought them.
func Strangers(t *Tape, p *Pool, w wire.Window) []string {
	var names []string
	window := rowsOf(t, w)
	marks := untouched(t, p, window)
	for i := range t.Columns {
		if c := &t.Columns[i]; !p.Present[i] && !marks[i] && hadBefore(c, window.from) {
			if len(names) == strangersMax {
				return append(names, "...")
			}
			names = append(names, c.Labels.String())
		}
	}
	return names
}
