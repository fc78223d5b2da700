package httpbroker_test

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// childEnv makes the test binary a process that publishes for another one.
const childEnv = "HTTPBROKER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		(&child{brokers: make(map[int]*broker.Engine), cancels: make(map[int]context.CancelFunc)}).serve(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// TestConformanceAcrossProcesses runs the suite with every Publish in another
// process than the subscriptions.
func TestConformanceAcrossProcesses(t *testing.T) {
	for _, level := range []httpbroker.Level{httpbroker.Handled, httpbroker.Accepted} {
		t.Run(level.String(), func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir()) // where processes find each other
			p := startChild(t)
			newBroker := func(_ testing.TB, opts ...broker.Option) broker.Broker { return p.newBroker(level, opts) }
			brokertest.Run(t, newBroker, features(level))
		})
	}
}

// What goes to the child, and what comes back.
type (
	order struct {
		Call, Broker int
		Kind         string // new, connect, publish, cancel, disconnect
		Level        int
		MaxBytes     int
		Topic        string
		Nil          bool // there is no message
		Message      broker.Message
		NoWait       bool
		AllowNone    bool
		Timeout      time.Duration
	}
	reply struct {
		Call   int
		Text   string // of the error, empty for none
		Causes []int  // places in sentinels
	}
)

// sentinels are the errors that callers ask for.
var sentinels = []error{
	broker.ErrNotDelivered, broker.ErrUncertain, broker.ErrRejected, broker.ErrClosed, broker.ErrNotConnected, broker.ErrTooLarge,
	broker.ErrInvalidHeader, broker.ErrInvalidTopic, broker.ErrNoSubscribers, broker.ErrBackpressure, broker.ErrUnsupported,
	context.Canceled, context.DeadlineExceeded, httpbroker.ErrLost,
}

// childOptions are the options that matter for publishing.
func childOptions(level httpbroker.Level) []broker.Option {
	return []broker.Option{
		httpbroker.PublishLevel(level), httpbroker.Capacity(capacity), httpbroker.FlushTimeout(100 * time.Millisecond),
	}
}

// child carries out orders.
type child struct {
	mu      sync.Mutex
	brokers map[int]*broker.Engine
	cancels map[int]context.CancelFunc
	out     *gob.Encoder
}

func (c *child) serve(in io.Reader, out io.Writer) {
	c.out = gob.NewEncoder(out)
	for orders := gob.NewDecoder(in); ; {
		var o order
		if orders.Decode(&o) != nil {
			return // the parent has ended
		}
		c.mu.Lock()
		switch o.Kind {
		case "new":
			c.brokers[o.Broker] = httpbroker.New(append(childOptions(httpbroker.Level(o.Level)), broker.MaxMessageBytes(o.MaxBytes))...)
		case "cancel":
			if cancel := c.cancels[o.Call]; cancel != nil {
				cancel()
			}
		default:
			ctx, cancel := context.WithCancel(context.Background())
			switch {
			case o.Timeout > 0:
				ctx, cancel = context.WithTimeout(context.Background(), o.Timeout)
			case o.Timeout < 0: // it was over before
				cancel()
			}
			c.cancels[o.Call] = cancel
			go c.obey(ctx, c.brokers[o.Broker], o)
		}
		c.mu.Unlock()
	}
}

func (c *child) obey(ctx context.Context, b *broker.Engine, o order) {
	var err error
	switch o.Kind {
	case "connect":
		err = b.Connect(ctx)
	case "disconnect":
		err = b.Disconnect(ctx)
	case "publish":
		err = b.Publish(ctx, o.Topic, o.message(), o.options()...)
	}
	r := reply{Call: o.Call}
	if err != nil {
		r.Text = err.Error()
		for i, s := range sentinels {
			if errors.Is(err, s) {
				r.Causes = append(r.Causes, i)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancels[o.Call]()
	delete(c.cancels, o.Call)
	if err := c.out.Encode(r); err != nil {
		panic(err)
	}
}

func (o *order) message() *broker.Message {
	if o.Nil {
		return nil
	}
	return &o.Message
}

func (o *order) options() []broker.PublishOption {
	var opts []broker.PublishOption
	if o.NoWait {
		opts = append(opts, broker.NoWait())
	}
	if o.AllowNone {
		opts = append(opts, broker.AllowNoSubscribers())
	}
	return opts
}

// parent gives orders to a child.
type parent struct {
	mu      sync.Mutex
	out     *gob.Encoder
	calls   int
	brokers int
	waiting map[int]chan reply
}

func startChild(t *testing.T) *parent {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // the end of its input ends it
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &parent{out: gob.NewEncoder(in), waiting: make(map[int]chan reply)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(out)
	}()
	t.Cleanup(func() {
		in.Close() //nolint:errcheck // the child sees it, or has ended
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	})
	return p
}

func (p *parent) read(in io.Reader) {
	for replies := gob.NewDecoder(in); ; {
		var r reply
		if replies.Decode(&r) != nil {
			return
		}
		p.mu.Lock()
		p.waiting[r.Call] <- r
		delete(p.waiting, r.Call)
		p.mu.Unlock()
	}
}

// call sends an order and waits for its reply.
func (p *parent) call(ctx context.Context, o order) (reply, bool) {
	if deadline, ok := ctx.Deadline(); ok {
		o.Timeout = max(time.Until(deadline), 1)
	}
	if ctx.Err() != nil {
		o.Timeout = -1
	}
	got := make(chan reply, 1)
	p.mu.Lock()
	p.calls++
	o.Call = p.calls
	p.waiting[o.Call] = got
	err := p.out.Encode(o)
	p.mu.Unlock()
	if err != nil {
		panic(err)
	}
	select {
	case r := <-got:
		return r, r.Text != ""
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		p.send(order{Call: o.Call, Kind: "cancel"})
	}
	r := <-got
	return r, r.Text != ""
}

func (p *parent) send(o order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(o); err != nil {
		panic(err)
	}
}

func (p *parent) newBroker(level httpbroker.Level, opts []broker.Option) broker.Broker {
	local := httpbroker.New(append(opts, childOptions(level)...)...)
	p.mu.Lock()
	p.brokers++
	r := &remote{Engine: local, parent: p, number: p.brokers}
	p.mu.Unlock()
	p.send(order{Kind: "new", Broker: r.number, Level: int(level), MaxBytes: local.Options().MaxMessageBytes})
	return r
}

// remote is a broker whose Publish happens in the child.
type remote struct {
	*broker.Engine
	parent *parent
	number int
}

// Connect implements [broker.Broker].
func (r *remote) Connect(ctx context.Context) error {
	if err := r.Engine.Connect(ctx); err != nil {
		return err
	}
	got, failed := r.parent.call(ctx, order{Broker: r.number, Kind: "connect"})
	return got.error(failed)
}

// Disconnect implements [broker.Broker].
func (r *remote) Disconnect(ctx context.Context) error {
	err := forgiving{r.Engine}.Disconnect(ctx)
	if errors.Is(err, broker.ErrInHandler) {
		return err
	}
	got, failed := r.parent.call(ctx, order{Broker: r.number, Kind: "disconnect"})
	if childErr := got.error(failed); !errors.Is(childErr, httpbroker.ErrLost) {
		err = errors.Join(err, childErr)
	}
	return err
}

// Publish implements [broker.Broker].
func (r *remote) Publish(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	o := broker.NewPublishOptions(opts...)
	call := order{Broker: r.number, Kind: "publish", Topic: topic, Nil: m == nil, NoWait: o.NoWait, AllowNone: o.AllowNoSubscribers}
	if m != nil {
		call.Message = *m
	}
	got, failed := r.parent.call(ctx, call)
	if !failed {
		return nil
	}
	err := &broker.PublishError{Topic: topic, Cause: got.error(failed)}
	for _, outcome := range sentinels[:3] {
		if errors.Is(err.Cause, outcome) {
			err.Outcome = outcome
		}
	}
	return err
}

// error returns what the child's error was, as far as it matters.
func (r reply) error(failed bool) error {
	if !failed {
		return nil
	}
	errs := []error{errors.New(r.Text)}
	for _, i := range r.Causes {
		errs = append(errs, sentinels[i])
	}
	return errors.Join(errs...)
}
