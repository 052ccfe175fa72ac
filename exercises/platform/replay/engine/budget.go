// What a rule or query may cost. Time is processor time of the thread that evaluates, so that a busy machine does not make a
// rule fail that an idle one lets pass.

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrTooSlow ends a rule or query that has used up its time.
var ErrTooSlow = errors.New("takes too long")

// Budget is the processor time that one rule or query may still take, all timelines together, within the time for everything.
type Budget struct {
	left     atomic.Int64 // nanoseconds
	total    time.Duration
	everyone context.Context
}

// NewBudget returns a budget that ends with ctx at the latest.
func NewBudget(ctx context.Context, d time.Duration) *Budget {
	b := &Budget{total: d, everyone: ctx}
	b.left.Store(int64(d))
	return b
}

// spend runs f, which must stay on this goroutine, under what is left.
func (b *Budget) spend(f func(ctx context.Context) error) error {
	left := time.Duration(b.left.Load())
	if left <= 0 || b.everyone.Err() != nil {
		return b.exhausted()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clock := threadClock()
	began := clock.read()
	ctx, cancel := context.WithCancel(b.everyone)
	defer cancel()
	// A thread cannot use more processor time than passes by the clock: no need to look earlier.
	done := make(chan struct{})
	watch := time.AfterFunc(left, func() {
		for {
			missing := left - (clock.read() - began)
			if missing <= 0 {
				cancel()
				return
			}
			select {
			case <-done:
				return
			case <-time.After(max(missing, 10*time.Millisecond)):
			}
		}
	})
	err := f(ctx)
	watch.Stop()
	close(done)
	b.left.Add(-int64(clock.read() - began))
	if ctx.Err() != nil {
		return b.exhausted()
	}
	return err
}

func (b *Budget) exhausted() error {
	if b.everyone.Err() != nil && b.left.Load() > 0 {
		return fmt.Errorf("%w: all rules and queries together have used up their time", ErrTooSlow)
	}
	return fmt.Errorf("%w: more than %s of processor time", ErrTooSlow, b.total)
}

// threadClock is the processor-time clock of the calling thread, which other threads can read too: the kernel derives its
// number from the thread's (see clock_getcpuclockid(3)).
func threadClock() cpuClock {
	return cpuClock(^int32(unix.Gettid())<<3 | 6)
}

type cpuClock int32

func (c cpuClock) read() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(c), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
