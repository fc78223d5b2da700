package httpbroker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// upgradeToken names, in the header Upgrade of RFC 9110, section 7.8, what a
// connection changes to: frames and their answers, without HTTP around each.
const upgradeToken = "micro-event/1"

// upgraded is the head of the answer with which a connection changes.
const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + upgradeToken + "\r\n\r\n"

// maxSizeBytes is how many bytes the size before a frame has at the most.
const maxSizeBytes = binary.MaxVarintLen32

// readBuffer is room for a frame with the messages of some publishers, so that one
// read is enough for it.
const readBuffer = 16 << 10

// stream is the member's side of a connection that changed. One goroutine serves
// it, one request after the other.
type stream struct {
	net.Conn
	server  *server
	streams *streams
	reader  *bufio.Reader
	peer    Peer        // as its certificate has it
	from    string      // its address
	under   int64       // generation of the certificates that the peer was accepted under
	busy    atomic.Bool // with a request
	readBy  time.Time   // its deadlines
	writeBy time.Time
	out     []byte // what is written next

	life context.Context        //nolint:containedctx // it is that of the connection
	lent atomic.Pointer[answer] // to the engine, by the goroutine that is to write it
	seen *answer                // that was lent at the last patrol; of the streams
	late chan error             // how writing ended that somebody else did
}

// offersUpgrade reports whether connections may change. In somebody else's server
// they may not, for what that does with each request would be passed by.
func (s *server) offersUpgrade() bool { return s.http != nil }

// upgrade changes the connection of a request that asks for it. It returns nil when
// the request is to be answered as any.
func (s *server) upgrade(w http.ResponseWriter, r *http.Request, peer Peer) *stream {
	if !isUpgrade(r.Header) || !r.ProtoAtLeast(1, 1) || !s.offersUpgrade() || !s.streams.reserve() {
		return nil
	}
	c, _, err := http.NewResponseController(w).Hijack() // what was sent too early is lost
	if err != nil {
		s.streams.cancel()
		return nil
	}
	// The reader of net/http ends the context of the request when a deadline does.
	st := &stream{
		Conn: c, server: s, streams: s.streams, reader: bufio.NewReaderSize(c, readBuffer),
		peer: peerWith(peer.Certificate), from: r.RemoteAddr, out: []byte(upgraded), late: make(chan error, 1),
	}
	st.under, _ = r.Context().Value(generationKey{}).(int64)
	st.busy.Store(true)
	st.streams.add(st)
	return st
}

// serve answers the request with which the connection changed, and then others
// until there are no more.
func (st *stream) serve(ctx context.Context, first *request) {
	defer st.end()
	st.life = ctx
	err := first.answer(ctx, st)
	for err == nil && st.await() && st.isTrusted() {
		err = st.serveOne(ctx)
	}
	if err != nil {
		st.server.logger().Debug("httpbroker: connection ended", slog.Any("error", err))
	}
}

// end closes the connection.
func (st *stream) end() {
	if v := recover(); v != nil {
		st.server.logger().Error("httpbroker: request panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	}
	st.Close() //nolint:errcheck // the publisher is told by its end
	st.streams.remove(st)
}

// isTrusted reports whether the certificates are those that the peer was accepted
// under. If not, it has to connect again.
func (st *stream) isTrusted() bool {
	t := st.server.options().transport
	return t == nil || st.under == t.generation()
}

// await waits for a request. It returns false when there will be none.
func (st *stream) await() bool {
	st.busy.Store(false)
	if st.readUntil(idleTimeout) != nil || st.streams.ending.Load() {
		return false
	}
	_, err := st.reader.Peek(1)
	st.busy.Store(true)
	return err == nil
}

// readUntil gives the client time for what comes next.
func (st *stream) readUntil(d time.Duration) error {
	return moveDeadline(&st.readBy, time.Now().Add(d), d/10, st.SetReadDeadline)
}

// serveOne reads a request and answers it.
func (st *stream) serveOne(ctx context.Context) error {
	if err := st.hurry(); err != nil {
		return err
	}
	head, bad, err := st.head()
	if err != nil {
		return err
	}
	if bad != nil {
		return st.refuse(bad)
	}
	size, err := binary.ReadUvarint(st.reader)
	if err != nil {
		return err
	}
	o := st.server.options()
	if size > uint64(o.maxRequestBytes()) {
		return st.refuse(&refusal{http.StatusRequestEntityTooLarge, "request is too large"})
	}
	peer, bad := st.server.checkHead(ctx, head, st.peer, st.from)
	if bad != nil {
		return st.pass(int64(size), bad)
	}
	room := st.server.quota.enter(int64(size), o.maxRequests, o.maxHeldBytes)
	if room == nil {
		return st.pass(int64(size), &refusal{http.StatusTooManyRequests, "too much at once"})
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(st.reader, body); err != nil {
		room.leave()
		return err
	}
	if bad := st.server.checkBody(head, body, st.from); bad != nil {
		room.leave()
		return st.refuse(bad)
	}
	q, bad := st.server.open(ctx, peer, body, room)
	if bad != nil {
		return st.refuse(bad)
	}
	return q.answer(ctx, st)
}

// pass reads over a frame and refuses the request.
func (st *stream) pass(size int64, bad *refusal) error {
	_, err := io.CopyN(io.Discard, st.reader, size)
	return errors.Join(err, st.refuse(bad))
}

// hurry bounds the time for a request of which only a part has come.
func (st *stream) hurry() error {
	b, err := st.reader.Peek(st.reader.Buffered())
	if isWhole(b) {
		return nil
	}
	return errors.Join(err, st.readUntil(readTimeout))
}

// refuse answers a request as a whole. One that is not of this protocol is the
// last one.
func (st *stream) refuse(r *refusal) error {
	err := st.write(appendResult(nil, result{status: r.status, reason: r.text, whole: true}), true)
	if err == nil && (r.status == http.StatusBadRequest || r.status == http.StatusRequestEntityTooLarge) {
		err = errors.New(r.text)
	}
	return err
}

// answer implements [outlet]. With one message the goroutine has nothing else to do
// until its handler has finished, so it becomes a worker of the engine meanwhile: to
// change to another goroutine costs as much as all the rest, where a processor has to be
// woken for it. When the handler turns out to be slow, another goroutine writes. With
// several messages two goroutines are as fast.
func (st *stream) answer(ctx context.Context, work work, a *answer, wait time.Duration) error {
	if wait == 0 || a.messages > 1 {
		work(always)
		return a.write(ctx, st, wait)
	}
	st.lent.Store(a)
	st.streams.patrol()
	work(a.complete)
	if !st.lent.CompareAndSwap(a, nil) {
		return <-st.late
	}
	return a.write(ctx, st, wait)
}

// writeFor writes an answer in the place of the goroutine that is lent.
func (st *stream) writeFor(a *answer) { st.late <- a.write(st.life, st, 0) }

// write implements [outlet]. An answer ends with an empty result.
func (st *stream) write(results []byte, last bool) error {
	if err := moveDeadline(&st.writeBy, time.Now().Add(writeTimeout), writeTimeout/10, st.SetWriteDeadline); err != nil {
		return err
	}
	st.out = append(st.out, results...)
	if last {
		st.out = append(st.out, 0)
	}
	_, err := st.Write(st.out)
	st.out = st.out[:0]
	return err
}

// watch implements [outlet]: somebody reads, so that the end of the connection is
// seen while handlers run.
func (st *stream) watch(ctx context.Context) (context.Context, func(), error) {
	st.readBy = time.Time{}
	if err := st.SetReadDeadline(st.readBy); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if _, err := st.reader.Peek(1); err != nil {
			cancel(err)
		}
	}()
	return ctx, func() {
		st.readBy = time.Unix(1, 0)
		st.SetReadDeadline(st.readBy) //nolint:errcheck // the next who reads learns it
		<-watched
		cancel(nil)
	}, nil
}
