package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// New returns a broker that sends messages straight to those who subscribe. It
// needs no server and, on one machine, no configuration. Options that are wrong
// are errors of Connect.
func New(opts ...broker.Option) *broker.Engine {
	return broker.New(NewDriver(), opts...)
}

// Driver is the [broker.Driver] of this package, for those who wrap it or mount
// its Handler.
type Driver struct {
	options options
	hasher  hasher
	server  *server

	mu        sync.Mutex
	registry  Registry
	address   string // that others reach
	publisher *publisher
	stopRenew context.CancelFunc
	renewed   chan struct{} // closed when renewing has ended
	renewing  sync.Mutex    // held while an entry is renewed or withdrawn
	entries   map[Entry]*renewal
}

var (
	_ broker.Driver     = (*Driver)(nil)
	_ broker.Configurer = (*Driver)(nil)
)

// renewal is an entry that is kept known. Renewing guards it.
type renewal struct {
	ttl   time.Duration
	users int // subscriptions and declarations
}

// NewDriver returns a driver that is not connected.
func NewDriver() *Driver {
	d := &Driver{options: defaultOptions(), hasher: newHasher(), entries: make(map[Entry]*renewal)}
	d.server = newServer(d)
	return d
}

// Handler returns the handler of [DeliverPath], for a server of the user's own;
// see [Mounted]. That server needs timeouts for reading a request.
func (d *Driver) Handler() http.Handler { return d.server }

// Configure implements [broker.Configurer].
func (d *Driver) Configure(v any) error {
	set, ok := v.(setting)
	if !ok {
		return broker.ErrUnsupported
	}
	return set(&d.options)
}

// Info implements [broker.Driver].
func (d *Driver) Info() broker.Info {
	level := "handled by every queue of the topic"
	if d.options.level == Accepted {
		level = "in the memory of a member of every queue of the topic, or of this process"
	}
	return broker.Info{
		Name:            "http",
		Address:         d.url(),
		PublishLevel:    level,
		MaxMessageBytes: d.options.maxBody,
		Capabilities: broker.Capabilities{
			AtLeastOnce:          true,
			QueueOutlivesMembers: true,
			DeclareQueue:         d.options.level == Accepted,
			KnowsSubscribers:     true,
			NoWait:               true,
		},
	}
}

// url is where the broker is reached, empty before it is connected.
func (d *Driver) url() string {
	if address := d.addressNow(); address != "" {
		if d.options.transport != nil {
			return "https://" + address
		}
		return "http://" + address
	}
	return ""
}

// publisherNow returns the publisher, or nil before the broker is connected.
func (d *Driver) publisherNow() *publisher {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.publisher
}

func (d *Driver) addressNow() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.address
}

// Connect implements [broker.Driver].
func (d *Driver) Connect(ctx context.Context) error {
	registry := d.options.registry
	if registry == nil {
		local, err := NewDirectoryRegistry(d.options.namespace)
		if err != nil {
			return err
		}
		registry = local
	}
	address, err := d.open(ctx)
	if err != nil {
		return err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registry, d.address, d.stopRenew = registry, address, stop
	d.publisher = newPublisher(d, registry)
	d.renewed = make(chan struct{})
	go d.renew(renewing, d.renewed)
	return nil
}

// open makes the server reachable and returns its address.
func (d *Driver) open(ctx context.Context) (string, error) {
	if d.options.mounted != "" {
		return d.options.mounted, d.server.mayListen(ctx, d.options.mounted)
	}
	if err := d.server.listen(ctx); err != nil {
		return "", err
	}
	address := d.server.listener.Addr().String()
	if ip, err := netip.ParseAddrPort(address); err != nil || ip.Addr().IsUnspecified() {
		err = fmt.Errorf("listen on %q: others cannot reach an address that names no interface", d.options.listen)
		return "", errors.Join(err, d.server.shutdown(ctx))
	}
	return address, nil
}

// Publish implements [broker.Driver].
func (d *Driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	return d.publisher.publish(ctx, topic, r, o)
}

// Declare implements [broker.Driver].
func (d *Driver) Declare(ctx context.Context, topic, queue string) error {
	return d.register(ctx, Entry{Topic: topic, Queue: queue}, QueueTTL)
}

// Open implements [broker.Driver].
func (d *Driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	s := &source{
		driver: d,
		entry:  Entry{Topic: spec.Topic, Queue: spec.Queue, Instance: newID(), Address: d.addressNow()},
		slots:  spec.MaxInFlight,
		wake:   make(chan struct{}, 1),
		table:  newDedup(dedupGeneration),
	}
	d.server.add(s)
	err := d.announce(ctx, s)
	if err != nil {
		d.server.remove(s)
		return nil, err
	}
	return s, nil
}

// announce makes a source known: first that there is its queue, then that it is
// a member.
func (d *Driver) announce(ctx context.Context, s *source) error {
	if s.entry.Queue != "" {
		if err := d.Declare(ctx, s.entry.Topic, s.entry.Queue); err != nil {
			return err
		}
	}
	err := d.register(ctx, s.entry, MemberTTL)
	if err != nil && s.entry.Queue != "" {
		d.renewing.Lock()
		defer d.renewing.Unlock()
		d.release(Entry{Topic: s.entry.Topic, Queue: s.entry.Queue})
	}
	return err
}

// register enters an entry and renews it from now on.
func (d *Driver) register(ctx context.Context, e Entry, ttl time.Duration) error {
	if err := d.registry.Register(ctx, e, ttl); err != nil {
		return err
	}
	d.renewing.Lock()
	defer d.renewing.Unlock()
	if d.entries[e] == nil {
		d.entries[e] = &renewal{ttl: ttl}
	}
	d.entries[e].users++
	return nil
}

// deregister withdraws a source. Its queue stays known, for the rest of its time
// to live unless somebody else renews it.
func (d *Driver) deregister(ctx context.Context, s *source) error {
	d.renewing.Lock()
	defer d.renewing.Unlock()
	d.release(s.entry)
	if s.entry.Queue != "" {
		d.release(Entry{Topic: s.entry.Topic, Queue: s.entry.Queue})
	}
	return d.registry.Deregister(ctx, s.entry)
}

// release renews an entry no more when nobody here uses it. The caller holds
// renewing.
func (d *Driver) release(e Entry) {
	r := d.entries[e]
	if r == nil {
		return
	}
	if r.users--; r.users == 0 {
		delete(d.entries, e)
	}
}

// renew keeps what was registered known until ctx ends.
func (d *Driver) renew(ctx context.Context, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(MemberTTL / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			d.renewAll(ctx)
		}
	}
}

func (d *Driver) renewAll(ctx context.Context) {
	d.renewing.Lock()
	entries := slices.Collect(maps.Keys(d.entries))
	d.renewing.Unlock()
	for _, e := range entries {
		d.renewOne(ctx, e)
	}
}

// renewOne renews an entry, unless it was withdrawn meanwhile.
func (d *Driver) renewOne(ctx context.Context, e Entry) {
	d.renewing.Lock()
	defer d.renewing.Unlock()
	r := d.entries[e]
	if r == nil {
		return
	}
	if err := d.registry.Register(ctx, e, r.ttl); err != nil && ctx.Err() == nil {
		d.options.logger().Warn("httpbroker: registration not renewed; will try again",
			slog.String("topic", e.Topic), slog.String("queue", e.Queue), slog.Any("error", err))
	}
}

// Close implements [broker.Driver].
func (d *Driver) Close(ctx context.Context) error {
	d.stopRenew()
	<-d.renewed
	err := errors.Join(d.publisher.close(ctx), d.server.shutdown(ctx), d.cut())
	d.renewing.Lock()
	defer d.renewing.Unlock()
	clear(d.entries)
	return err
}

// cut tells of accepted messages that are lost when the process ends.
func (d *Driver) cut() error {
	var errs []error
	for _, s := range d.server.all() {
		if n := s.left(); n > 0 {
			errs = append(errs, fmt.Errorf("%w: %d messages of %q (queue %q) were not handled", ErrLost, n, s.entry.Topic, s.entry.Queue))
		}
	}
	return errors.Join(errs...)
}

// handOver sends a message that was accepted here to another member.
func (d *Driver) handOver(e Entry, m *message) {
	d.publisher.handOver(e, m)
}

// mayDial refuses addresses that no member can have.
func (o *options) mayDial(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
		return errPeer
	}
	if len(o.allowed) == 0 {
		return nil
	}
	for _, p := range o.allowed {
		if p.Contains(ip) {
			return nil
		}
	}
	return errPeer
}

// errPeer is returned for an address that messages are not sent to.
var errPeer = errors.New("address is not allowed")
