package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	dialTimeout = 2 * time.Second

	// silence is how long the server may say nothing before the client gives a
	// connection up.
	silence = 5 * time.Second
)

// New returns a broker on the server at url, which is
//
//	redis://[user:password@]host[:port][/database]
//
// or rediss:// for TLS. A url or an option that is wrong is an error of Connect,
// which also fails when the server does not answer.
func New(url string, opts ...broker.Option) *broker.Engine {
	return broker.New(newDriver(url), opts...)
}

// driver publishes through one client, on which sources have connections of their
// own.
type driver struct {
	url    string
	config config
	watch  func(lost error)

	*session
}

// session is what lives from Connect to Close.
type session struct {
	client rueidis.Client
	link   *link
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
		Name:         "redis",
		Address:      d.address(),
		PublishLevel: "stored by the server, as durably as it is set up",
		AckWait:      d.config.ackWait,
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
		return "redis://invalid"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

var errURL = errors.New("want a URL like redis://host:6379/0 or rediss://host:6379/0")

// parseURL parses a URL. Its error does not show it: it may have a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errURL
	}
	return u, nil
}

// clientOptions are those of the client library.
func (d *driver) clientOptions() (rueidis.ClientOption, error) {
	if _, err := parseURL(d.url); err != nil {
		return rueidis.ClientOption{}, err
	}
	o, err := rueidis.ParseURL(d.url)
	if err != nil {
		return o, errors.Join(errURL, err)
	}
	o.Dialer.Timeout = dialTimeout
	o.ConnWriteTimeout = silence
	o.Dialer.KeepAlive = silence
	o.ForceSingleClient = true
	if d.config.tls != nil {
		o.TLSConfig = d.config.tls.Clone()
		if o.TLSConfig.ServerName == "" {
			o.TLSConfig.ServerName, _, _ = strings.Cut(o.InitAddress[0], ":")
		}
	}
	for _, change := range d.config.change {
		change(&o)
	}
	o.DisableRetry = true // a message that was sent again would be stored twice
	o.DisableCache = true
	return o, nil
}

// Connect implements [broker.Driver].
func (d *driver) Connect(ctx context.Context) error {
	o, err := d.clientOptions()
	if err != nil {
		return err
	}
	type result struct {
		client rueidis.Client
		err    error
	}
	made := make(chan result, 1)
	go func() { // the client takes no context; it gives up by itself
		client, err := rueidis.NewClient(o)
		made <- result{client, err}
	}()
	select {
	case r := <-made:
		if r.err != nil {
			return r.err
		}
		return d.begin(ctx, r.client)
	case <-ctx.Done():
		go func() {
			if r := <-made; r.err == nil {
				r.client.Close()
			}
		}()
		return fmt.Errorf("%w: %w", broker.ErrNotConnected, context.Cause(ctx))
	}
}

// begin begins a session with a client that answers.
func (d *driver) begin(ctx context.Context, client rueidis.Client) error {
	s := &session{client: client}
	if err := s.Ping(ctx); err != nil {
		client.Close()
		return err
	}
	s.link = newLink(d.watch, s.Ping) //nolint:contextcheck // it outlives ctx
	d.session = s
	return nil
}

// Ping implements [broker.Pinger].
func (s *session) Ping(ctx context.Context) error {
	return s.client.Do(ctx, s.client.B().Ping().Build()).Error()
}

// Close implements [broker.Driver]. Publish has nothing left to flush: each waits
// for its answer.
func (d *driver) Close(context.Context) error {
	d.link.end()
	d.client.Close()
	return nil
}
