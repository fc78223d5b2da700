package eventtest

import (
	"strconv"
	"sync/atomic"
	"time"
)

// IDs returns a source of ids for event.WithIDSource: prefix and 1, prefix and 2,
// and so on. It may be called concurrently.
func IDs(prefix string) func() string {
	var n atomic.Int64
	return func() string { return prefix + strconv.FormatInt(n.Add(1), 10) }
}

// Clock returns a clock for event.WithClock that shows start, and with each look
// at it step more. It may be called concurrently.
func Clock(start time.Time, step time.Duration) func() time.Time {
	var looks atomic.Int64
	return func() time.Time { return start.Add(step * time.Duration(looks.Add(1)-1)) }
}
