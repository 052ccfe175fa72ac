// Which row is played when. Every draw is a hash of the seed and the second, so a trace and its twin meet the same noise, in
// whatever order they are made.

package synth

import (
	"hash/fnv"

	"modeldown/replay/wire"
)

// draw is a reproducible random number for a purpose and a second.
func draw(seed uint64, second int64) uint64 {
	x := seed + uint64(second)*0x9e3779b97f4a7c15
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// unit makes a number in [0, 1) of a draw.
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// stream derives the seed of one purpose.
func stream(seed, purpose string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(seed + "\x00" + purpose))
	return draw(h.Sum64(), 1)
}

// Pick is a reproducible random number in [0, n) for a purpose.
func Pick(seed, purpose string, n int64) int64 {
	return int64(stream(seed, purpose) % uint64(n))
}

// Segment is a stretch of production time in which a signature shows.
type Segment struct {
	Window wire.Window
	// From and To are Unix seconds; the offset plays after To.
	From, To int64
	Share    float64
	Ramp     int64
	seed     uint64

	onset, steady, offset rows
}

// rows is [from, to) on the tape.
type rows struct{ from, to int }

func (r rows) len() int64 { return int64(r.to - r.from) }

// NewSegment lays a window out from one second to another.
func NewSegment(t *Tape, w wire.Window, seed, purpose string, from, to int64, share float64, ramp int64) *Segment {
	a, b, c, d := t.Row(w.FromMS), t.Row(w.SteadyFromMS), t.Row(w.SteadyToMS), t.Row(w.ToMS)
	return &Segment{
		Window: w, From: from, To: to, Share: share, Ramp: ramp,
		seed:  stream(seed, purpose),
		onset: rows{a, b}, steady: rows{b, max(b+1, c)}, offset: rows{max(b+1, c), max(d, b+1)},
	}
}

// Ends is the second at which nothing of the segment is left.
func (s *Segment) Ends(t *Tape) int64 { return s.To + s.offset.len()*t.StepMS/1000 }

// rowAt says which row shows at a second. The onset plays as recorded; the steady part plays as recorded once, then its rows
// are drawn; the offset plays as recorded from the end on.
func (s *Segment) rowAt(t *Tape, second int64) (row int, steady, ok bool) {
	at := func(r rows, since int64) (int, bool) {
		k := r.from + int(since*1000/t.StepMS)
		return k, k < r.to
	}
	if second < s.From {
		return 0, false, false
	}
	if second >= s.To {
		row, ok = at(s.offset, second-s.To)
		return row, false, ok
	}
	since := second - s.From
	if row, ok = at(s.onset, since); ok {
		return row, false, true
	}
	since -= s.onset.len() * t.StepMS / 1000
	if row, ok = at(s.steady, since); ok {
		return row, true, true
	}
	return s.steady.from + int(draw(s.seed, second)%uint64(s.steady.len())), true, true
}

// shareAt is how much of the traffic meets the fault at a second.
func (s *Segment) shareAt(second int64) float64 {
	if since := second - s.From; since < s.Ramp {
		return s.Share * float64(since+1) / float64(s.Ramp+1)
	}
	return s.Share
}

// few is a share of the traffic that no gauge shows: what one request in a hundred meets leaves states as they are.
const few = 0.01

// switches says whether gauges show the fault at a second: one draw for all of them, so that they agree.
func (s *Segment) switches(second int64, share float64) bool {
	return share >= 1 || share > few && unit(draw(s.seed^0x5bf03635, second)) < share
}
