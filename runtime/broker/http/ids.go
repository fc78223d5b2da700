package httpbroker

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// newID returns a name that nobody else has.
func newID() string { return strings.ToLower(rand.Text()) }

// ids makes names that nobody else has, cheaply.
type ids struct {
	prefix string
	last   *atomic.Uint64
}

func newIDs() ids { return ids{newID() + "-", new(atomic.Uint64)} }

func (i ids) next() string { return i.prefix + strconv.FormatUint(i.last.Add(1), 36) }
