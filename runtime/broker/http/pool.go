package httpbroker

import "sync"

// maxPooledBytes keeps single large messages from staying in memory.
const maxPooledBytes = 64 << 10

// bytePool keeps buffers for messages and requests.
type bytePool struct{ pool sync.Pool }

// bodies holds what nobody refers to any more.
var bodies bytePool

// get returns an empty buffer with room for size bytes.
func (p *bytePool) get(size int) []byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make([]byte, 0, max(size, 512))
}

func (p *bytePool) put(b []byte) {
	if cap(b) <= maxPooledBytes {
		p.pool.Put(&b)
	}
}
