package natsbroker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// TestBareClientReadsAndWrites meets a program that uses the client library.
func TestBareClientReadsAndWrites(t *testing.T) {
	for name, opts := range map[string][]broker.Option{"JetStream": nil, "core": {natsbroker.Core()}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			conn, _ := raw(t, s.url())
			b := connect(t, s.url(), opts...)
			got := make(chan *broker.Delivery, 2)
			_, err := b.Subscribe(t.Context(), "bare", func(_ context.Context, d *broker.Delivery) error {
				got <- d
				return nil
			}, broker.Queue("q"))
			must(t, err)
			seen, err := conn.SubscribeSync("bare")
			must(t, err)
			must(t, conn.FlushTimeout(patience))
			must(t, b.Publish(t.Context(), "bare", &broker.Message{
				Key: "k", Body: []byte("ours"), Header: broker.Header{"ce-id": "1", "ce-source": "s", "ce-type": "t"},
			}))
			m, err := seen.NextMsg(patience)
			must(t, err)
			if v := m.Header.Get("ce-specversion"); string(m.Data) != "ours" || v != "1.0" || m.Header.Get("ce-partitionkey") != "k" {
				t.Errorf("at the bare client: got %q, %v", m.Data, m.Header)
			}
			<-got
			must(t, conn.PublishMsg(&nats.Msg{Subject: "bare", Data: []byte("theirs"), Header: nats.Header{"Tenant": {"acme"}}}))
			d := <-got
			if string(d.Message.Body) != "theirs" || !maps.Equal(d.Message.Header, broker.Header{"Tenant": "acme"}) {
				t.Errorf("from the bare client: got %+v", d.Message)
			}
		})
	}
}

func TestDeduplicateDropsRepetitionsOnly(t *testing.T) {
	s := startServer(t)
	b, in := connect(t, s.url(), natsbroker.Deduplicate()), newLedger()
	_, err := b.Subscribe(t.Context(), "dedup", in.handle, broker.Queue("q"))
	must(t, err)
	publish := func(n int, h broker.Header) {
		t.Helper()
		must(t, b.Publish(t.Context(), "dedup", &broker.Message{Key: "k", Body: fmt.Appendf(nil, "k-%d", n), Header: h}))
	}
	publish(0, broker.Header{"ce-id": "1", "ce-source": "s"})
	publish(1, broker.Header{"ce-id": "1", "ce-source": "s"}) // the same event again
	publish(2, broker.Header{"ce-id": "1", "ce-source": "other"})
	publish(3, broker.Header{"ce-id": "1"})
	publish(4, broker.Header{"ce-id": "1"})
	publish(5, broker.Header{"ce-id": "1", "ce-source": "s", broker.DeadLetterTopicHeader: "t"})
	publish(6, broker.Header{"ce-id": "1", "ce-source": "s", broker.DeadLetterTopicHeader: "t"})
	in.await(t, "the last message", func() bool { return in.handled["k-6"] == 1 })
	want := map[string]int{"k-0": 1, "k-2": 1, "k-3": 1, "k-4": 1, "k-5": 1, "k-6": 1}
	if !maps.Equal(in.handled, want) {
		t.Errorf("handled: got %v, want %v", in.handled, want)
	}
}

// TestBatchIsLargerThanTheWindow publishes more than may be on its way at once,
// with messages in between that are refused.
func TestBatchIsLargerThanTheWindow(t *testing.T) {
	for name, opts := range map[string][]broker.Option{"JetStream": {natsbroker.PublishWindow(7)}, "core": {natsbroker.Core()}} {
		t.Run(name, func(t *testing.T) {
			s, in := startServer(t), newLedger()
			b := connect(t, s.url(), append(opts, broker.MaxMessageBytes(100))...)
			_, err := b.Subscribe(t.Context(), "batch", in.handle, broker.Queue("q"))
			must(t, err)
			const n = 500
			ms := make([]*broker.Message, n)
			for i := range ms {
				ms[i] = &broker.Message{Key: "k", Body: fmt.Appendf(nil, "k-%d", i)}
				if i%100 == 50 {
					ms[i].Body = make([]byte, 101)
				}
			}
			for i, err := range b.PublishBatch(t.Context(), "batch", ms) {
				if refused := errors.Is(err, broker.ErrTooLarge); refused != (i%100 == 50) || !refused && err != nil {
					t.Errorf("message %d: got %v", i, err)
				}
			}
			in.await(t, "all that were taken", func() bool { return in.handledInAll == n-5 })
			in.check(t)
		})
	}
}

func TestBatchWithoutStream(t *testing.T) {
	b := connect(t, startServer(t).url(), natsbroker.PublishWindow(2))
	errs := b.PublishBatch(t.Context(), "nobody", []*broker.Message{{}, {}, {}, {}, {}})
	if len(errs) != 5 {
		t.Fatalf("got %v, want 5 errors", errs)
	}
	for _, err := range errs {
		if !errors.Is(err, broker.ErrNoSubscribers) {
			t.Errorf("got %v, want ErrNoSubscribers", err)
		}
	}
}

// TestRefusalsOfTheStream has a stream with limits of its own.
func TestRefusalsOfTheStream(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "L", Subjects: []string{"limited"}, MaxMsgSize: 100, MaxMsgs: 1, Discard: jetstream.DiscardNew,
	})
	must(t, err)
	b := connect(t, s.url())
	err = b.Publish(t.Context(), "limited", &broker.Message{Body: make([]byte, 1000)})
	if !errors.Is(err, broker.ErrTooLarge) || !errors.Is(err, broker.ErrRejected) {
		t.Errorf("message larger than the stream's limit: got %v, want ErrTooLarge and ErrRejected", err)
	}
	must(t, b.Publish(t.Context(), "limited", &broker.Message{}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = b.Publish(ctx, "limited", &broker.Message{})
	if !errors.Is(err, broker.ErrBackpressure) || !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("full stream: got %v, want ErrBackpressure, ErrNotDelivered and DeadlineExceeded", err)
	}
	must(t, js.DeleteStream(t.Context(), "L"))
}

// TestCoreDropsWhatItCannotHold has a subscription that ends with messages that
// nobody else gets.
func TestCoreDropsWhatItCannotHold(t *testing.T) {
	s, in := startServer(t), newLedger()
	b := connect(t, s.url(), natsbroker.Core())
	must(t, b.Publish(t.Context(), "core", &broker.Message{Key: "k", Body: []byte("k-0")}))
	_, err := b.Subscribe(t.Context(), "core", in.handle, broker.Queue("q"))
	must(t, err)
	must(t, b.Publish(t.Context(), "core", &broker.Message{Key: "k", Body: []byte("k-1")}))
	in.await(t, "the message behind", func() bool { return in.handled["k-1"] == 1 })
	if in.handled["k-0"] > 0 {
		t.Error("a message was handled that nobody had listened to")
	}
}

// TestForbiddenTopicIsRejected has a user who may publish to one topic only.
func TestForbiddenTopicIsRejected(t *testing.T) {
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"for.bidden"}},
		}}}
	})
	b := connect(t, withUser(s.url(), "u:p"))
	must(t, b.DeclareQueue(t.Context(), "allowed", "q"))
	var publishing sync.WaitGroup
	for range 10 {
		publishing.Go(func() {
			err := b.Publish(t.Context(), "for.bidden", &broker.Message{})
			if !errors.Is(err, nats.ErrPermissionViolation) || !errors.Is(err, broker.ErrRejected) {
				t.Errorf("forbidden: got %v, want ErrPermissionViolation and ErrRejected", err)
			}
			if err := b.Publish(t.Context(), "allowed", &broker.Message{}); err != nil {
				t.Errorf("allowed: %v", err)
			}
		})
	}
	publishing.Wait()
}
