package event

import (
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// What is kept for the next event at the most, so that a rare large one does
// not hold memory for ever.
const (
	maxPooledBody    = 64 << 10
	maxPooledHeaders = 32
)

// publication is one event on its way to the broker. Publications are used
// again, headers and body included, because a broker keeps nothing of what it
// publishes.
type publication struct {
	topic   string
	headers headers
	record  broker.Record // without its headers until it is complete
	entropy entropy
	scratch [80]byte // id and time

	sequence uint64 // among the events of an AsyncClient
}

func newPublication() *publication { return &publication{headers: make(headers, 0, 8)} }

// stamp sets id and time; an empty id becomes a UUID. What it writes itself
// shares one string.
func (p *publication) stamp(id string, now time.Time) {
	b := p.scratch[:0]
	if id == "" {
		b = appendUUIDv7(b, now, &p.entropy)
	}
	n := len(b)
	text := string(now.UTC().AppendFormat(b, time.RFC3339Nano))
	if id == "" {
		id = text[:n]
	}
	p.headers.set(headerID, id)
	p.headers.set(headerTime, text[n:])
}

// reset empties p and reports whether it is worth keeping.
func (p *publication) reset() bool {
	if cap(p.headers) > maxPooledHeaders || cap(p.record.Body) > maxPooledBody {
		return false
	}
	clear(p.headers)
	p.topic, p.headers, p.record = "", p.headers[:0], broker.Record{Body: p.record.Body[:0]}
	return true
}
