package rabbitmqbroker

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/link"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

const maxMessageBytes = 16 << 20 // RabbitMQ 4's default; 3.10 takes more

// New returns a broker on the server at url, which is
//
//	amqp://[user:password@]host[:port][/vhost]
//
// or amqps:// for TLS; so is amqp:// with option [TLS]. A url or an option that is wrong
// is an error of Connect, which also fails when the server does not answer.
func New(url string, opts ...broker.Option) *broker.Engine {
	return broker.New(newDriver(url), opts...)
}

// driver publishes over one connection and consumes over another one, with a channel
// for each source.
type driver struct {
	url    string
	config config
	watch  func(lost error)

	link   *link.Link[*session] // from Connect on
	window *window.Window       // of messages that wait for their confirmations

	queues sync.Mutex // held while a queue is declared
}

var (
	_ broker.Driver         = (*driver)(nil)
	_ broker.Configurer     = (*driver)(nil)
	_ broker.LinkWatcher    = (*driver)(nil)
	_ broker.BatchPublisher = (*driver)(nil)
	_ broker.Pinger         = (*driver)(nil)
)

func newDriver(url string) *driver {
	return &driver{url: url, config: defaultConfig(), watch: func(error) {}}
}

// Configure implements [broker.Configurer].
func (d *driver) Configure(v any) error {
	set, ok := v.(setting)
	if !ok {
		return broker.ErrUnsupported
	}
	set(&d.config)
	return d.config.validate()
}

// WatchLink implements [broker.LinkWatcher].
func (d *driver) WatchLink(fn func(lost error)) { d.watch = fn }

// Info implements [broker.Driver].
func (d *driver) Info() broker.Info {
	return broker.Info{
		Name:            "rabbitmq",
		Address:         d.address(),
		PublishLevel:    "confirmed by the server: written by every queue of the topic",
		MaxMessageBytes: maxMessageBytes,
		Capabilities: broker.Capabilities{
			AtLeastOnce:          true,
			QueueOutlivesMembers: true,
			DeclareQueue:         true,
			DeliveryCount:        true,
			KnowsSubscribers:     true,
			NoWait:               true,
		},
	}
}

// address returns the URL without credentials.
func (d *driver) address() string {
	u, err := parseURL(d.url)
	if err != nil {
		return "amqp://invalid"
	}
	u.User, u.RawQuery = nil, ""
	return d.secured(u.String())
}

// secured returns a URL as one with TLS, when there is a configuration of it.
func (d *driver) secured(valid string) string {
	scheme, rest, _ := strings.Cut(valid, ":")
	if d.config.tls != nil && strings.EqualFold(scheme, "amqp") {
		return "amqps:" + rest
	}
	return valid
}

var errURL = errors.New("want a URL like amqp://host:5672/vhost or amqps://host:5671/vhost")

// parseURL parses a URL. Its error does not show it: it may have a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "amqp" && u.Scheme != "amqps" {
		return nil, errURL
	}
	if _, err := amqp.ParseURI(s); err != nil {
		return nil, errURL
	}
	return u, nil
}

// Connect implements [broker.Driver].
func (d *driver) Connect(ctx context.Context) error {
	if _, err := parseURL(d.url); err != nil {
		return err
	}
	address, c := d.secured(d.url), d.config
	l := link.New(func(ctx context.Context) (*session, error) { return dial(ctx, address, c) }, d.watch)
	if err := l.Begin(ctx); err != nil {
		return err
	}
	d.link, d.window = l, window.New(d.config.window, l.Ended().Done())
	return nil
}

// Ping implements [broker.Pinger].
func (d *driver) Ping(ctx context.Context) error {
	return d.withChannel(ctx, func(*amqp.Channel) error { return nil })
}

// Close implements [broker.Driver].
func (d *driver) Close(context.Context) error {
	d.link.End().close(broker.ErrClosed)
	return nil
}
