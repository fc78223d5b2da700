package overhttp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// rawTCP is a length, a body, and a byte that says that it was handled, on a connection
// for each caller: what the network and the scheduler cost without HTTP.
func rawTCP(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	dial, err := listenTCP(ctx, b, func(body []byte) error { return handle(counter, body) })
	if err != nil {
		return measure.Side{}, err
	}
	pool := make(chan net.Conn, most)
	take := func(ctx context.Context) (net.Conn, error) {
		select {
		case c := <-pool:
			return c, nil
		default:
			return dial(ctx)
		}
	}
	return measure.Side{Name: "raw TCP", Note: "a connection for each caller, no headers", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		body, err := marshal()
		if err != nil {
			return err
		}
		c, err := take(ctx)
		if err != nil {
			return err
		}
		frame := appendFrame(make([]byte, 0, frameRoom+len(body)), body)
		if _, err := c.Write(frame); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, frame[:1]); err != nil {
			return err
		}
		pool <- c
		return nil
	}}, nil
}

// sharedTCP is rawTCP on one connection for all callers: what waits while a request is on
// its way goes together in the next. It is the exchange of the HTTP broker without what
// that is for: no headers, order, attempts, duplicates, other members or time limits.
func sharedTCP(
	ctx context.Context, b *measure.Bench, counter *measure.Counter, body func() ([]byte, error), handle func([]byte) error,
) (measure.Side, error) {
	dial, err := listenTCP(ctx, b, handle)
	if err != nil {
		return measure.Side{}, err
	}
	conn, err := dial(ctx)
	if err != nil {
		return measure.Side{}, err
	}
	s := &shared{conn: conn}
	return measure.Side{
		Name: "raw TCP, shared", Note: "a connection for all callers, on which those that wait go together: the exchange alone, no headers",
		Delivered: counter.Wait,
		Each: func(context.Context) error {
			body, err := body()
			if err != nil {
				return err
			}
			return s.send(body)
		},
	}, nil
}

// rawShared is sharedTCP with events.
func rawShared(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	return sharedTCP(ctx, b, counter, marshal, func(body []byte) error { return handle(counter, body) })
}

// shared sends what callers have, all that wait in one request.
type shared struct {
	conn net.Conn

	mu      sync.Mutex
	waiting []chan error
	frames  []byte
	flying  bool
}

// answers are the channels of callers.
var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

func (s *shared) send(body []byte) error {
	answer := answers.Get().(chan error) //nolint:forcetypeassert // it holds nothing else
	defer answers.Put(answer)
	s.mu.Lock()
	s.waiting = append(s.waiting, answer)
	s.frames = appendFrame(s.frames, body)
	if !s.flying {
		s.flying = true
		go s.fly()
	}
	s.mu.Unlock()
	return <-answer
}

// fly sends requests, one after the other, until nobody waits.
func (s *shared) fly() {
	var waiting []chan error
	var frames []byte
	for {
		s.mu.Lock()
		waiting, s.waiting = s.waiting, waiting[:0]
		frames, s.frames = s.frames, frames[:0]
		s.flying = len(waiting) > 0
		s.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		_, err := s.conn.Write(frames)
		if err == nil {
			_, err = io.ReadFull(s.conn, frames[:len(waiting)])
		}
		for _, w := range waiting {
			w <- err
		}
	}
}

// listenTCP handles frames until the bench is closed, and returns what connects to it.
func listenTCP(ctx context.Context, b *measure.Bench, handle func([]byte) error) (func(context.Context) (net.Conn, error), error) {
	l, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed below
			}
			go answer(conn, handle)
		}
	}()
	b.Cleanup(l.Close)
	var open sync.Mutex
	var conns []net.Conn
	b.Cleanup(func() error {
		var errs []error
		for _, c := range conns {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	})
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			open.Lock()
			conns = append(conns, c)
			open.Unlock()
		}
		return c, err
	}, nil
}

// frameRoom is what a frame takes beside its body.
const frameRoom = 4

func appendFrame(b, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

// answer handles what comes on a connection until it ends. It answers when it has handled
// all that has come.
func answer(conn net.Conn, handle func([]byte) error) {
	defer conn.Close() //nolint:errcheck // the publisher sees it
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	var size [frameRoom]byte
	for {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if handle(body) != nil {
			return
		}
		w.WriteByte(1) //nolint:errcheck // Flush says it, too
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}
