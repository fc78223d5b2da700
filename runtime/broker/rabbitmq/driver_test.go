package rabbitmqbroker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

func TestBadURLsAndOptions(t *testing.T) {
	for _, test := range []struct {
		url  string
		opt  broker.Option
		want string
	}{
		{"http://user:secret@host", nil, "want a URL like amqp://"},
		{"amqp://user:secret@", nil, "want a URL like amqp://"},
		{"amqp://host", rabbitmqbroker.Exchange(""), "Exchange: the name has 0 bytes"},
		{"amqp://host", rabbitmqbroker.InactiveThreshold(0), "InactiveThreshold: got 0s, want at least 1s"},
		{"amqp://host", rabbitmqbroker.PublishWindow(0), "PublishWindow: got 0, want at least 1"},
	} {
		var opts []broker.Option
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		b := rabbitmqbroker.New(test.url, opts...)
		err := b.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q and no password", test.url, err, test.want)
		}
		if strings.Contains(b.Address(), "secret") {
			t.Errorf("address: got %s, want no password", b.Address())
		}
	}
}

// TestALateAckOnARealServer cuts the connection under a handler. Others are handled
// on the new channel, where tags begin anew, before it returns: its acknowledgement
// must settle none of them.
func TestALateAckOnARealServer(t *testing.T) {
	p, url := proxied(t)
	publisher, subscriber := connect(t, variable(t, serverVariable)), connect(t, url)
	const topic = "rabbitmqbroker.late"
	entered, release, others := make(chan struct{}, 2), make(chan struct{}), make(chan string, 10)
	sub, err := subscriber.Subscribe(t.Context(), topic, func(_ context.Context, d *broker.Delivery) error {
		if d.Message.Key == "late" {
			entered <- struct{}{}
			<-release
			return nil
		}
		others <- string(d.Message.Body)
		return errors.New("once more")
	}, broker.Queue("q"), broker.MaxInFlight(2), broker.DropAfter(2), broker.Backoff(time.Millisecond, time.Millisecond))
	must(t, err)
	must(t, publisher.Publish(t.Context(), topic, &broker.Message{Key: "late"}))
	<-entered
	p.Cut()
	must(t, publisher.Publish(t.Context(), topic, &broker.Message{Key: "other", Body: []byte("1")}))
	for range 2 {
		if got := <-others; got != "1" {
			t.Errorf("handled: got %q, want 1", got)
		}
	}
	close(release)
	<-entered // again, as nobody has acknowledged it
	must(t, sub.Unsubscribe(t.Context()))
	c, err := amqp.Dial(variable(t, serverVariable))
	must(t, err)
	defer func() { must(t, c.Close()) }()
	channel, err := c.Channel()
	must(t, err)
	left, err := channel.QueueDelete("q@"+topic, false, false, false)
	must(t, err)
	if left != 0 {
		t.Errorf("left in the queue: got %d messages, want 0", left)
	}
}

func TestATopicWithoutQueueOnARealServer(t *testing.T) {
	b := connect(t, variable(t, serverVariable))
	err := b.Publish(t.Context(), "rabbitmqbroker.nobody", &broker.Message{})
	if !errors.Is(err, broker.ErrNoSubscribers) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("got %v, want ErrNoSubscribers and ErrNotDelivered", err)
	}
}

// TestAFullQueueOnARealServer has one of two queues refuse a message: the other one
// has it all the same.
func TestAFullQueueOnARealServer(t *testing.T) {
	b := connect(t, variable(t, serverVariable))
	const topic = "rabbitmqbroker.full"
	must(t, b.DeclareQueue(t.Context(), topic, "q"))
	c, err := amqp.Dial(variable(t, serverVariable))
	must(t, err)
	defer func() { must(t, c.Close()) }()
	channel, err := c.Channel()
	must(t, err)
	_, err = channel.QueueDeclare("full@"+topic, false, true, true, false, amqp.Table{"x-max-length": 0, "x-overflow": "reject-publish"})
	must(t, err)
	must(t, channel.QueueBind("full@"+topic, topic, rabbitmqbroker.DefaultExchange, false, nil))
	if err := b.Publish(t.Context(), topic, &broker.Message{}); !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("got %v, want %v", err, broker.ErrUncertain)
	}
	handled := make(chan struct{})
	sub, err := b.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error {
		close(handled)
		return nil
	}, broker.Queue("q"))
	must(t, err)
	wait(t, handled)
	must(t, sub.Unsubscribe(t.Context()))
	_, err = channel.QueueDelete("q@"+topic, false, false, false)
	must(t, err)
}

// TestARefusedMessageOnARealServer publishes to an exchange that takes nothing any more,
// then to none, and then to one that was made again.
func TestARefusedMessageOnARealServer(t *testing.T) {
	const exchange = "rabbitmqbroker.internal"
	b := connect(t, variable(t, serverVariable), rabbitmqbroker.Exchange(exchange))
	c, err := amqp.Dial(variable(t, serverVariable))
	must(t, err)
	defer func() { must(t, c.Close()) }()
	channel, err := c.Channel()
	must(t, err)
	publish := func() error { return b.Publish(t.Context(), "topic", &broker.Message{}) }
	must(t, channel.ExchangeDelete(exchange, false, false))
	if err := publish(); !errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrNoSubscribers) {
		t.Errorf("no exchange: got %v, want %v", err, broker.ErrNotDelivered)
	}
	if err := publish(); !errors.Is(err, broker.ErrNoSubscribers) {
		t.Errorf("made again: got %v, want %v", err, broker.ErrNoSubscribers)
	}
	must(t, channel.ExchangeDelete(exchange, false, false))
	must(t, channel.ExchangeDeclare(exchange, "topic", true, false, true, false, nil))
	if err := publish(); !errors.Is(err, broker.ErrRejected) {
		t.Errorf("an internal exchange: got %v, want %v", err, broker.ErrRejected)
	}
	must(t, channel.ExchangeDelete(exchange, false, false))
	if err := publish(); !errors.Is(err, broker.ErrNoSubscribers) {
		t.Errorf("made again: got %v, want %v", err, broker.ErrNoSubscribers)
	}
	must(t, channel.ExchangeDelete(exchange, false, false))
}

// TestAllocationsOnARealServer holds the budget of a publish, the client's own
// allocations included.
func TestAllocationsOnARealServer(t *testing.T) {
	single, batched := brokertest.PublishAllocations(t, connect(t, variable(t, serverVariable)), "rabbitmqbroker.allocations")
	if single > 105 || batched > 100 {
		t.Errorf("a message allocates %v times, and in a batch %v, want at most 105 and 100", single, batched)
	}
}
