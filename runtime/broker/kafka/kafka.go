package kafkabroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Bounds of the backoff between attempts to reach a server.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// New returns a broker of the Kafka cluster at url, which is
//
//	kafka://[user:password@]host[:port][,host[:port]]...[?sasl=MECHANISM]
//
// or kafkas:// for TLS. The port is 9092 by default; MECHANISM is plain, the
// default, scram-sha-256 or scram-sha-512. A url or an option that is wrong is an
// error of Connect, which also fails when no server answers.
func New(url string, opts ...broker.Option) *broker.Engine {
	return broker.New(newDriver(url), opts...)
}

// driver publishes through one client; each source has one of its own.
type driver struct {
	config config
	seeds  []string
	urlErr error
	link   link

	room    *semaphore.Weighted // for unconfirmed messages
	session atomic.Pointer[session]
}

// session is what lives from Connect to Close.
type session struct {
	client *kgo.Client
	admin  *kadm.Client
	ended  context.Context //nolint:containedctx // it is the life of the session
	end    context.CancelCauseFunc
}

var (
	_ broker.Driver         = (*driver)(nil)
	_ broker.Configurer     = (*driver)(nil)
	_ broker.LinkWatcher    = (*driver)(nil)
	_ broker.BatchPublisher = (*driver)(nil)
	_ broker.Pinger         = (*driver)(nil)
)

func newDriver(url string) *driver {
	d := &driver{config: defaultConfig(), link: link{tell: func(error) {}, reachable: make(map[int32]bool)}}
	d.seeds, d.urlErr = parseURL(url, &d.config)
	return d
}

// Configure implements [broker.Configurer].
func (d *driver) Configure(v any) error {
	s, ok := v.(setting)
	if !ok {
		return broker.ErrUnsupported
	}
	return s(&d.config)
}

// WatchLink implements [broker.LinkWatcher].
func (d *driver) WatchLink(fn func(lost error)) { d.link.tell = fn }

// Info implements [broker.Driver].
func (d *driver) Info() broker.Info {
	return broker.Info{
		Name:            "kafka",
		Address:         d.address(),
		PublishLevel:    "written to all in-sync replicas",
		Prefetch:        prefetch,
		MaxMessageBytes: int(d.config.maxBatchBytes) - batchRoom,
		Capabilities: broker.Capabilities{
			AtLeastOnce:           true,
			QueueOutlivesMembers:  true,
			DeclareQueue:          true,
			KeyOrderAcrossMembers: true,
			NoWait:                true,
			Contiguous:            true,
		},
	}
}

func (d *driver) address() string {
	scheme := "kafka://"
	if d.config.tls != nil {
		scheme = "kafkas://"
	}
	return scheme + strings.Join(d.seeds, ",")
}

// Connect implements [broker.Driver].
func (d *driver) Connect(ctx context.Context) error {
	if d.urlErr != nil {
		return d.urlErr
	}
	client, err := kgo.NewClient(append(d.clientOptions(), d.producerOptions()...)...)
	if err != nil {
		return err
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return err
	}
	d.room = semaphore.NewWeighted(d.config.maxBufferedBytes)
	s := &session{client: client, admin: kadm.NewClient(client)}
	s.ended, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	d.session.Store(s)
	return nil
}

// clientOptions are the options of all clients.
func (d *driver) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(d.seeds...),
		kgo.ClientID(d.config.clientID),
		kgo.WithHooks(&d.link),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.DisableClientMetrics(), // its last push would hold up every end of a subscription
	}
	if d.config.tls != nil {
		opts = append(opts, kgo.DialTLSConfig(d.config.tls.Clone()))
	}
	if d.config.sasl != nil {
		opts = append(opts, kgo.SASL(d.config.sasl))
	}
	return opts
}

// retryBackoff is how long the client waits after a number of failures.
func retryBackoff(failures int) time.Duration {
	d := min(minBackoff<<min(max(failures-1, 0), 10), maxBackoff)
	return d*3/4 + rand.N(d/2)
}

// Ping implements [broker.Pinger].
func (d *driver) Ping(ctx context.Context) error {
	s := d.session.Load()
	if s == nil {
		return broker.ErrClosed
	}
	return s.client.Ping(ctx)
}

// Close implements [broker.Driver].
func (d *driver) Close(ctx context.Context) error {
	s := d.session.Swap(nil)
	if s == nil {
		return nil
	}
	s.end(broker.ErrClosed)
	err := s.client.Flush(ctx)
	s.client.Close()
	if err != nil {
		return fmt.Errorf("flush: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}
