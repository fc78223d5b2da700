package broker

import "sync"

// contiguousLog settles the deliveries of each partition in the order in which
// they arrived, as a log with one committed offset needs it: a delivery is
// settled only once all earlier ones are. One that is given back holds up those
// after it for good, so that they are all delivered again.
type contiguousLog struct {
	mu         sync.Mutex // held while settling, so that the order is kept
	partitions map[int32][]*logEntry
}

// logEntry is the place of a delivery in its partition.
type logEntry struct {
	raw     Raw
	done    bool
	outcome Outcome
	cause   error
}

func newContiguousLog() *contiguousLog {
	return &contiguousLog{partitions: make(map[int32][]*logEntry)}
}

// add appends a delivery to its partition.
func (l *contiguousLog) add(raw Raw) *logEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := &logEntry{raw: raw}
	l.partitions[raw.Partition] = append(l.partitions[raw.Partition], entry)
	return entry
}

// settle notes how an entry ended, and tells all that this makes tellable.
func (l *contiguousLog) settle(e *logEntry, o Outcome, cause error, tell func(*Raw, Outcome, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.done, e.outcome, e.cause = true, o, cause
	entries := l.partitions[e.raw.Partition]
	for len(entries) > 0 && entries[0].done && entries[0].outcome != GiveBack {
		tell(&entries[0].raw, entries[0].outcome, entries[0].cause)
		entries[0] = nil // the array outlives it
		entries = entries[1:]
	}
	l.partitions[e.raw.Partition] = entries
}
