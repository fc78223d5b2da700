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

// The attributes come first in the headers of a publication, each in its place.
// Nobody else may set them, so that they need not be looked for. The type is what
// receivers ask for first.
const (
	placeType = iota
	placeID
	placeSource
	placeContentType
	placeTime
	places
)

// publication is one event on its way to the broker. Publications are used
// again, body included, and headers too unless the broker took them: it keeps
// nothing else of what it publishes.
type publication struct {
	topic   string
	headers headers
	record  broker.Record // without its headers until it is complete
	fields  Fields        // sets key and headers here
	clock   clockFace
	scratch [80]byte // id and time
	taken   bool     // the broker keeps the headers

	sequence uint64 // among the events of an AsyncClient
}

func newPublication() *publication {
	p := &publication{headers: newHeaders(2 * places)}
	p.fields.publication = p
	p.record.OfferHeader(&p.taken)
	return p
}

// newHeaders returns a list that has only the places of the attributes, and room
// for n in all.
func newHeaders(n int) headers { return append(make(headers, 0, n), attributes[:]...) }

var attributes = [places]broker.Field{
	placeType:        {Name: headerType},
	placeID:          {Name: headerID},
	placeSource:      {Name: headerSource},
	placeContentType: {Name: headerContentType},
	placeTime:        {Name: headerTime},
}

// stamp sets id and time; an empty id becomes a UUID. What it writes itself
// shares one string.
func (p *publication) stamp(id string, now time.Time) {
	b := p.scratch[:0]
	if id == "" {
		b = appendUUIDv7(b, now)
	}
	n := len(b)
	text := string(p.clock.append(b, now))
	if id == "" {
		id = text[:n]
	}
	p.headers[placeID].Value = id
	p.headers[placeTime].Value = text[n:]
}

// reset readies p for the next event and reports whether it is worth keeping. It
// clears only what is read before it is written: clearing what holds pointers
// costs as much as making an id.
func (p *publication) reset() bool {
	if cap(p.headers) > maxPooledHeaders || cap(p.record.Body) > maxPooledBody {
		return false
	}
	if p.taken {
		p.headers = newHeaders(len(p.headers))
		p.taken = false
	} else {
		p.headers = p.headers[:places]
		p.headers[placeID].Value = ""
	}
	p.record.Key = ""
	p.record.Body = p.record.Body[:0]
	return true
}
