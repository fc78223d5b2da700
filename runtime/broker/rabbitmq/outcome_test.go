package rabbitmqbroker_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

// at returns a script that does what belongs to a tag, and nothing at others.
func at(scripts map[uint64]script) script {
	return func(m *method) {
		if s := scripts[m.tag]; s != nil {
			s(m)
		}
	}
}

func nack(m *method) { m.confirm(basicNack) }

// unroutable is what the server does with a message that no queue wants.
func unroutable(m *method) {
	m.giveBack()
	m.answer()
}

// backwards confirms three messages, the last one first.
func backwards(m *method) {
	for m.tag = 3; m.tag > 0; m.tag-- {
		m.answer()
	}
}

func closesChannel(code uint16) script {
	return func(m *method) { m.closeChannel(code, "because") }
}

func closesConnection(code uint16) script {
	return func(m *method) { m.closeConnection(code, "because") }
}

func cuts(m *method) { m.peer.fake.cut() }

// outcome says what becomes of messages that are published at once.
type outcome struct {
	name   string
	script map[uint64]script // by tag
	want   []error
	opts   []broker.Option
}

func outcomes() []outcome {
	const forced, accessRefused, notFound, preconditionFailed = 320, 403, 404, 406
	taken, uncertain, rejected, unwanted := error(nil), broker.ErrUncertain, broker.ErrRejected, broker.ErrNoSubscribers
	answer := (*method).answer
	return []outcome{
		{"out of order", map[uint64]script{3: backwards}, []error{taken, taken, taken}, nil},
		{
			"never confirmed, but others",
			map[uint64]script{1: answer, 3: answer, 4: unroutable},
			[]error{taken, uncertain, taken, unwanted},
			[]broker.Option{rabbitmqbroker.ConfirmTimeout(time.Second)},
		},
		{"not stored", map[uint64]script{1: answer, 2: nack, 3: answer}, []error{taken, uncertain, taken}, nil},
		{"no queue", map[uint64]script{1: answer, 2: unroutable, 3: answer}, []error{taken, unwanted, taken}, nil},
		{"a broken connection", map[uint64]script{3: cuts}, []error{uncertain, uncertain, uncertain}, nil},
		{
			"a closed connection",
			map[uint64]script{1: answer, 3: closesConnection(forced)},
			[]error{taken, uncertain, uncertain},
			nil,
		},
		{
			"a closed connection, before the others were sent",
			map[uint64]script{1: closesConnection(forced)},
			[]error{uncertain, taken, taken},
			[]broker.Option{rabbitmqbroker.PublishWindow(1)},
		},
		{
			"a closed channel",
			map[uint64]script{1: answer, 3: closesChannel(preconditionFailed)},
			[]error{taken, uncertain, uncertain},
			nil,
		},
		{"no permission", map[uint64]script{1: closesChannel(accessRefused)}, []error{rejected}, nil},
		{"too large", map[uint64]script{1: closesChannel(preconditionFailed)}, []error{rejected}, nil},
		{"no exchange", map[uint64]script{1: closesChannel(notFound)}, []error{broker.ErrNotDelivered}, nil},
		{
			"no permission any more",
			map[uint64]script{1: answer, 2: closesChannel(accessRefused)},
			[]error{taken, rejected},
			nil,
		},
		{
			"no permission for one of them",
			map[uint64]script{1: answer, 3: closesChannel(accessRefused)},
			[]error{taken, uncertain, uncertain},
			nil,
		},
		{
			"a closed connection, for the want of permission",
			map[uint64]script{1: closesConnection(accessRefused)},
			[]error{uncertain},
			nil,
		},
	}
}

// TestWhatBecomesOfMessages publishes some at once to a server that does not simply
// confirm them, at first. One more must be taken after that.
func TestWhatBecomesOfMessages(t *testing.T) {
	for _, test := range outcomes() {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, nil)
			b := f.broker(test.opts...)
			abnormal := at(test.script)
			f.on(basicPublish, func(m *method) {
				if m.peer.number == 1 && m.tag <= uint64(len(test.want)) {
					abnormal(m)
				} else {
					m.answer()
				}
			})
			ms := make([]*broker.Message, len(test.want))
			for i := range ms {
				ms[i] = &broker.Message{Body: []byte("body")}
			}
			got := b.PublishBatch(soon(t), "topic", ms)
			for i, want := range test.want {
				var err error
				if got != nil {
					err = got[i]
				}
				if !errors.Is(err, want) {
					t.Errorf("message %d: got %v, want %v", i+1, err, want)
				}
			}
			must(t, b.Publish(soon(t), "topic", &broker.Message{}))
		})
	}
}

// impatience ends when somebody waits for its end.
type impatience struct {
	context.Context
	cancel context.CancelCauseFunc
}

func (c impatience) Done() <-chan struct{} {
	c.cancel(errEnough)
	return c.Context.Done()
}

// impatient returns a context that ends as soon as it is waited with.
func impatient(t testing.TB) context.Context {
	ctx, cancel := context.WithCancelCause(soon(t))
	return impatience{ctx, cancel}
}

// TestAMessageWithoutConfirmationEndsWithItsContext also has the next one refused:
// which of the two the server means is not known.
func TestAMessageWithoutConfirmationEndsWithItsContext(t *testing.T) {
	f := startFake(t, nil)
	b := f.broker()
	ctx, cancel := context.WithCancelCause(soon(t))
	f.on(basicPublish, at(map[uint64]script{
		1: func(*method) { cancel(errEnough) },
		2: closesChannel(403),
	}))
	err := b.Publish(ctx, "topic", &broker.Message{})
	if !errors.Is(err, broker.ErrUncertain) || !errors.Is(err, errEnough) {
		t.Errorf("the first: got %v, want %v and %v", err, broker.ErrUncertain, errEnough)
	}
	if err := b.Publish(soon(t), "topic", &broker.Message{}); !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("the second: got %v, want %v", err, broker.ErrUncertain)
	}
}

// TestDisconnectDoesNotKnowWhatWasNotConfirmed is a Disconnect that does not wait.
func TestDisconnectDoesNotKnowWhatWasNotConfirmed(t *testing.T) {
	f := startFake(t, nil)
	b := quiet(f.url())
	must(t, b.Connect(soon(t)))
	published, sent := make(chan error, 1), make(chan struct{}, 1)
	f.on(basicPublish, func(*method) { sent <- struct{}{} })
	go func() { published <- b.Publish(soon(t), "topic", &broker.Message{}) }()
	wait(t, sent)
	ctx, cancel := context.WithCancel(soon(t))
	cancel()
	if err := b.Disconnect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("disconnect: got %v, want %v", err, context.Canceled)
	}
	if err := wait(t, published); !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("publish: got %v, want %v", err, broker.ErrUncertain)
	}
}

// TestPublishWithoutConnection certainly sends nothing, and goes on when there is a
// connection.
func TestPublishWithoutConnection(t *testing.T) {
	f := startFake(t, nil)
	b := f.broker()
	down := make(chan *method, 1)
	f.on(connectionOpen, func(m *method) { down <- m })
	f.cut()
	reconnecting := wait(t, down)
	given := make(chan error, 1)
	go func() { given <- b.Publish(impatient(t), "topic", &broker.Message{}) }()
	if err := wait(t, given); !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, errEnough) {
		t.Errorf("got %v, want %v and %v", err, broker.ErrNotDelivered, errEnough)
	}
	go func() { given <- b.Publish(soon(t), "topic", &broker.Message{}) }()
	f.on(connectionOpen, (*method).answer)
	reconnecting.answer()
	must(t, wait(t, given))
	if n := f.seen(basicPublish); n != 1 {
		t.Errorf("sent: got %d messages, want 1", n)
	}
}

// TestABlockedServer is one that is short of memory: it says so, and takes nothing
// until it says otherwise or the connection ends.
func TestABlockedServer(t *testing.T) {
	for name, release := range map[string]func(*method){
		"until it has room": func(m *method) { (&method{peer: m.peer}).send(connectionUnblock, nil) },
		"until it is gone":  cuts,
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, nil)
			b := f.broker()
			blocked := make(chan *method, 1)
			f.on(basicPublish, func(m *method) {
				(&method{peer: m.peer}).send(connectionBlocked, short("low on memory"))
				m.answer()
				blocked <- m
			})
			must(t, b.Publish(soon(t), "topic", &broker.Message{}))
			m := wait(t, blocked)
			f.on(basicPublish, (*method).answer)
			err := b.Publish(soon(t), "topic", &broker.Message{}, broker.NoWait())
			if !errors.Is(err, broker.ErrBackpressure) || !errors.Is(err, broker.ErrNotDelivered) {
				t.Errorf("no wait: got %v, want %v and %v", err, broker.ErrBackpressure, broker.ErrNotDelivered)
			}
			published := make(chan error, 1)
			go func() { published <- b.Publish(impatient(t), "topic", &broker.Message{}) }()
			if err := wait(t, published); !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, errEnough) {
				t.Errorf("the context ends: got %v, want %v and %v", err, broker.ErrNotDelivered, errEnough)
			}
			if n := f.seen(basicPublish); n != 1 {
				t.Errorf("sent: got %d messages, want 1", n)
			}
			go func() { published <- b.Publish(soon(t), "topic", &broker.Message{}) }()
			release(m)
			must(t, wait(t, published))
		})
	}
}

// TestAServerThatReadsNoMore has one message stuck on its way: others need not wait
// longer than their context lives.
func TestAServerThatReadsNoMore(t *testing.T) {
	f := startFake(t, nil)
	b := f.broker()
	stuck, release := make(chan struct{}, 1), make(chan struct{})
	f.on(basicPublishBegin, func(m *method) {
		must(t, m.peer.conn.(*net.TCPConn).SetReadBuffer(1<<16))
		stuck <- struct{}{}
		<-release
	})
	published := make(chan error, 1)
	go func() { // more than fits in what is between them
		published <- b.Publish(soon(t), "topic", &broker.Message{Body: make([]byte, 16<<20)})
	}()
	wait(t, stuck)
	err := b.Publish(impatient(t), "topic", &broker.Message{})
	if !errors.Is(err, errEnough) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("got %v, want %v and %v", err, errEnough, broker.ErrNotDelivered)
	}
	if len(published) > 0 {
		t.Errorf("the stuck one ended before: %v", <-published)
	}
	close(release)
	must(t, wait(t, published))
}
