package httpbroker

import (
	"hash/maphash"
)

const (
	// dedupGeneration is how many finished messages a generation of a table holds;
	// a table remembers the last one to two generations.
	dedupGeneration = 1 << 16

	// sieveFrom is how many messages a generation has when it gets a sieve, and
	// sieveBits how many bits that has for each message of a full one.
	sieveFrom = 1 << 12
	sieveBits = 16
)

// Names of the CloudEvents attributes that together identify an event.
const (
	idHeader     = "ce-id"
	sourceHeader = "ce-source"
)

// identity is a hash of what identifies a message: its own id, or else source
// and id of the event. Its seeds are secret and the messages are not, so nobody
// can make two of them collide.
type identity [2]uint64

// hasher makes identities and digests.
type hasher struct{ first, second maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

// identity returns the identity of a message, and false when it has none.
func (h hasher) identity(m *message) (identity, bool) {
	source, id := "", m.id
	if id == "" {
		id, _ = m.record.Get(idHeader)
		source, _ = m.record.Get(sourceHeader)
	}
	if id == "" {
		return identity{}, false
	}
	if source == "" {
		return identity{maphash.String(h.first, id), maphash.String(h.second, id)}, true
	}
	return identity{h.pair(h.first, source, id), h.pair(h.second, source, id)}, true
}

func (hasher) pair(seed maphash.Seed, source, id string) uint64 {
	return maphash.Comparable(seed, [2]string{source, id})
}

// digest is a hash of what a repetition of a message must have in common with
// it: key and body. Its headers may tell another time.
func (h hasher) digest(m *message) uint64 {
	return maphash.Bytes(h.first, m.record.Body) ^ maphash.String(h.second, m.record.Key)
}

// dedup knows the messages that a source has: those that run, and the last that
// were done. Its memory is bounded, and what runs is never forgotten. The mutex
// of the source guards it.
type dedup struct {
	running map[identity]*delivery
	done    generation
	before  generation
	limit   int
}

func newDedup(limit int) dedup {
	return dedup{running: make(map[identity]*delivery), done: generation{digests: make(map[identity]uint64)}, limit: limit}
}

// finished returns the digest of a message that was done.
func (d *dedup) finished(id identity) (uint64, bool) {
	if digest, ok := d.done.find(id); ok {
		return digest, true
	}
	return d.before.find(id)
}

// finish moves a message from those that run to those that are done.
func (d *dedup) finish(id identity, digest uint64) {
	delete(d.running, id)
	if len(d.done.digests) >= d.limit {
		d.before, d.done = d.done, generation{digests: make(map[identity]uint64, d.limit)}
	}
	d.done.add(id, digest, d.limit)
}

// generation is a part of the messages that were done. A map of so many lies in no
// cache, and most messages are new: a sieve, which does, tells nearly all of these
// without a look into the map.
type generation struct {
	digests map[identity]uint64
	sieve   []uint64 // of bits; nil while there are few messages
}

func (g *generation) find(id identity) (uint64, bool) {
	if g.sieve != nil {
		if word, bit := g.place(id); *word&bit == 0 {
			return 0, false
		}
	}
	digest, ok := g.digests[id]
	return digest, ok
}

// add adds a message to a generation of limit messages.
func (g *generation) add(id identity, digest uint64, limit int) {
	g.digests[id] = digest
	switch {
	case g.sieve != nil:
		g.mark(id)
	case len(g.digests) == sieveFrom:
		g.sieve = make([]uint64, (limit*sieveBits+63)/64)
		for known := range g.digests {
			g.mark(known)
		}
	}
}

func (g *generation) mark(id identity) {
	word, bit := g.place(id)
	*word |= bit
}

// place returns the bit of a message. An identity is a hash already.
func (g *generation) place(id identity) (word *uint64, bit uint64) {
	return &g.sieve[id[0]%uint64(len(g.sieve))], 1 << (id[1] % 64)
}

// forget removes a message that ran and was not done.
func (d *dedup) forget(id identity) { delete(d.running, id) }
