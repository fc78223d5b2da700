package mqttbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/link"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

// maxMessageBytes leaves room for the headers in the largest packet of MQTT.
const maxMessageBytes = 255 << 20

// New returns a broker on the server at url, which is
//
//	mqtt://[user:password@]host[:port]
//
// or mqtts:// for TLS. A url or an option that is wrong is an error of Connect, which
// also fails when the server does not answer.
func New(url string, opts ...broker.Option) *broker.Engine {
	return broker.New(newDriver(url), opts...)
}

// driver publishes over one connection; each source has another one.
type driver struct {
	url    string
	random string // the client id where none was given
	config config
	watch  func(lost error)

	link   *link.Link[*session] // from Connect on
	window *window.Window       // of messages that wait for their acknowledgements
}

var (
	_ broker.Driver         = (*driver)(nil)
	_ broker.Configurer     = (*driver)(nil)
	_ broker.LinkWatcher    = (*driver)(nil)
	_ broker.BatchPublisher = (*driver)(nil)
)

func newDriver(url string) *driver {
	return &driver{url: url, random: rand.Text(), config: defaultConfig(), watch: func(error) {}}
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

// durable reports whether sessions are found again by the next process.
func (d *driver) durable() bool { return d.config.clientID != "" }

// Info implements [broker.Driver].
func (d *driver) Info() broker.Info {
	return broker.Info{
		Name:            "mqtt",
		Address:         d.address(),
		PublishLevel:    "acknowledged by the server, as durably as it is set up",
		MaxMessageBytes: maxMessageBytes,
		Capabilities: broker.Capabilities{
			AtLeastOnce:          d.durable(),
			QueueOutlivesMembers: d.durable(),
			KnowsSubscribers:     true,
			NoWait:               true,
			Contiguous:           true,
		},
	}
}

// address returns the URL without credentials.
func (d *driver) address() string {
	u, err := parseURL(d.url)
	if err != nil {
		return "mqtt://invalid"
	}
	return u.Scheme + "://" + u.Host
}

var errURL = errors.New("want a URL like mqtt://host:1883 or mqtts://host:8883")

// ports are those of the schemes.
var ports = map[string]string{"mqtt": "1883", "mqtts": "8883"}

// parseURL parses a URL and adds the port. Its error does not show it: it may have a
// password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || ports[u.Scheme] == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errURL
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	return u, nil
}

// Connect implements [broker.Driver].
func (d *driver) Connect(ctx context.Context) error {
	u, err := parseURL(d.url)
	if err != nil {
		return err
	}
	publisher := client{url: u, config: &d.config, id: d.base() + "-" + rand.Text()[:publisherBytes]}
	l := link.New(publisher.dial, d.watch)
	if err := l.Begin(ctx); err != nil {
		return err
	}
	d.link, d.window = l, window.New(d.config.window, l.Ended().Done())
	return nil
}

// publisherBytes is how much of the id of the publishing client is random: nothing is
// kept for it, and two processes may have one ClientID for a moment.
const publisherBytes = 8

// base returns what client ids begin with.
func (d *driver) base() string {
	if d.durable() {
		return d.config.clientID
	}
	return "micro-event-" + d.random
}

// Close implements [broker.Driver].
func (d *driver) Close(context.Context) error {
	d.link.End().end(false)
	return nil
}
