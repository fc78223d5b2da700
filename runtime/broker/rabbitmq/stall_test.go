package rabbitmqbroker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

// stalls are the points where a server may fall silent while a session is made, which
// is two connections and a channel on the first.
var stalls = []struct {
	name       string
	verb       verb
	connection int // from 0
}{
	{"the first connection", anyVerb, 0},
	{"the login", connectionStartOK, 0},
	{"the virtual host", connectionOpen, 0},
	{"the second connection", anyVerb, 1},
	{"the second virtual host", connectionOpen, 1},
	{"the channel", channelOpen, 0},
	{"the exchange", exchangeDeclare, 0},
	{"confirmations", confirmSelect, 0},
}

// stall makes the fake silent at a method on a connection, counted from 1, and calls
// reached then.
func (f *fake) stall(v verb, connection int, reached func()) {
	f.on(v, func(m *method) {
		if m.peer.number == connection {
			reached()
		} else {
			m.answer()
		}
	})
}

// soon returns a context that ends only when something hangs.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// wait waits for c, but not for ever.
func wait[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-soon(t).Done():
		t.Fatal("got nothing, and waited long")
		panic("not reached")
	}
}

// quiet returns a broker that logs nothing.
func quiet(url string, opts ...broker.Option) *broker.Engine {
	return rabbitmqbroker.New(url, append(opts, broker.WithLogger(slog.New(slog.DiscardHandler)))...)
}

// broker connects a broker to the fake for the time of the test.
func (f *fake) broker(opts ...broker.Option) *broker.Engine {
	f.t.Helper()
	b := quiet(f.url(), opts...)
	must(f.t, b.Connect(soon(f.t)))
	f.t.Cleanup(func() { must(f.t, b.Disconnect(soon(f.t))) })
	return b
}

var errEnough = errors.New("enough")

func TestConnectEndsWithItsContext(t *testing.T) {
	for _, test := range stalls {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, nil)
			ctx, cancel := context.WithCancelCause(soon(t))
			f.stall(test.verb, 1+test.connection, func() { cancel(errEnough) })
			b := quiet(f.url())
			if err := b.Connect(ctx); !errors.Is(err, errEnough) || !errors.Is(err, broker.ErrNotConnected) {
				t.Errorf("connect: got %v, want %v and %v", err, errEnough, broker.ErrNotConnected)
			}
			must(t, b.Disconnect(soon(t)))
			f.on(test.verb, (*method).answer)
			must(t, b.Connect(soon(t)))
			must(t, b.Disconnect(soon(t)))
		})
	}
}

func TestConnectGivesUpAServerThatStopsAnswering(t *testing.T) {
	for _, test := range stalls {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, nil)
			f.stall(test.verb, 1+test.connection, func() {})
			ctx := soon(t)
			err := quiet(f.url(), rabbitmqbroker.DialTimeout(50*time.Millisecond)).Connect(ctx)
			if !errors.Is(err, broker.ErrNotConnected) || ctx.Err() != nil {
				t.Errorf("connect: got %v, want %v before the context ends", err, broker.ErrNotConnected)
			}
		})
	}
}

func TestDisconnectWhileTheServerStopsAnswering(t *testing.T) {
	for _, test := range stalls {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, nil)
			b := quiet(f.url())
			must(t, b.Connect(soon(t)))
			reached := make(chan struct{}, 1)
			f.stall(test.verb, 3+test.connection, func() { reached <- struct{}{} })
			f.cut()
			wait(t, reached)
			must(t, b.Disconnect(soon(t)))
		})
	}
}

// TestDisconnectFromASilentServer has a server that lives, but does not answer that
// the connection is closed.
func TestDisconnectFromASilentServer(t *testing.T) {
	f := startFake(t, nil)
	b := quiet(f.url())
	must(t, b.Connect(soon(t)))
	f.on(connectionClose, func(m *method) { m.peer.write(frame(frameHeartbeat, 0, nil)) })
	must(t, b.Disconnect(soon(t)))
}

// TestASilentServerIsGivenUp has one that answers nothing on the connection of
// consumers, once.
func TestASilentServerIsGivenUp(t *testing.T) {
	f := startFake(t, nil)
	b := f.broker(rabbitmqbroker.CallTimeout(time.Second))
	f.stall(channelOpen, 2, func() {})
	published, sent := make(chan error, 1), make(chan struct{}, 1)
	f.stall(basicPublish, 1, func() { sent <- struct{}{} })
	go func() { published <- b.Publish(soon(t), "topic", &broker.Message{}) }()
	wait(t, sent)
	must(t, b.DeclareQueue(soon(t), "topic", "q")) // on a new connection, in the end
	if err := wait(t, published); !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("publish that waited: got %v, want %v", err, broker.ErrUncertain)
	}
	must(t, b.Publish(soon(t), "topic", &broker.Message{}))
}
