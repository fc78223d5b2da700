package natsbroker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

// New returns a broker on the servers at url: one or more URLs of one cluster,
// separated by commas. Options that are wrong are errors of Connect.
func New(url string, opts ...broker.Option) *broker.Engine {
	return broker.New(NewDriver(url), opts...)
}

// Driver is the [broker.Driver] of this package, for those who wrap it.
type Driver struct {
	link

	js     jetstream.JetStream // nil with Core
	window *window.Window      // of messages that wait for their confirmations
}

var (
	_ broker.Driver         = (*Driver)(nil)
	_ broker.Configurer     = (*Driver)(nil)
	_ broker.LinkWatcher    = (*Driver)(nil)
	_ broker.BatchPublisher = (*Driver)(nil)
	_ broker.Pinger         = (*Driver)(nil)
)

// NewDriver returns a driver that is not connected. See [New].
func NewDriver(url string) *Driver {
	return &Driver{link: link{servers: url, config: defaultConfig(), watch: func(error) {}}}
}

// Info implements [broker.Driver].
func (d *Driver) Info() broker.Info {
	info := broker.Info{
		Name:            "nats",
		Address:         d.address(),
		PublishLevel:    "stored by its stream",
		AckWait:         d.config.ackWait,
		MaxMessageBytes: d.maxBodyBytes(),
		Headers:         broker.HeadersCloudEvents,
		Capabilities: broker.Capabilities{
			AtLeastOnce:          true,
			QueueOutlivesMembers: true,
			DeclareQueue:         true,
			DeliveryCount:        true,
			KnowsSubscribers:     true,
			NoWait:               true,
		},
	}
	if d.config.core {
		info.Name, info.AckWait, info.Capabilities = "nats-core", 0, broker.Capabilities{}
		info.PublishLevel = "processed by the server, whoever listens"
	}
	return info
}

// Connect implements [broker.Driver]. With JetStream it asks for it, unless
// provisioning is [Off].
func (d *Driver) Connect(ctx context.Context) error {
	conn, err := d.connect(ctx)
	if err != nil {
		return err
	}
	_, closed := d.connection()
	d.window = window.New(d.config.window, closed)
	if d.config.core {
		return nil
	}
	if err := d.startJetStream(ctx, conn); err != nil {
		return errors.Join(err, d.Close(ctx))
	}
	return nil
}

func (d *Driver) startJetStream(ctx context.Context, conn *nats.Conn) error {
	var err error
	if d.js, err = jetstream.New(conn); err != nil {
		return err
	}
	confirmations, err := newAcks(conn)
	if err != nil {
		return err
	}
	d.setAcks(confirmations)
	return d.askJetStream(ctx)
}

func (d *Driver) askJetStream(ctx context.Context) error {
	if d.config.policy == Off {
		return nil
	}
	if _, err := d.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("ask for JetStream: %w", err)
	}
	return nil
}

// Ping implements [broker.Pinger].
func (d *Driver) Ping(ctx context.Context) error {
	conn, _ := d.connection()
	if err := flush(ctx, conn, confirmTimeout); err != nil {
		return err
	}
	if d.config.core {
		return nil
	}
	return d.askJetStream(ctx)
}

// Open implements [broker.Driver].
func (d *Driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	if d.config.core {
		return d.openCore(ctx, spec)
	}
	return d.openPull(ctx, spec)
}

// Close implements [broker.Driver].
func (d *Driver) Close(ctx context.Context) error { return d.close(ctx) }
