package spoolbroker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultAckWait is how long a message may be held without a sign of life of
// its holder before another member gets it.
const DefaultAckWait = 30 * time.Second

// New returns a broker over the directory dir, which is created if need be.
func New(dir string, opts ...broker.Option) *broker.Engine {
	return broker.New(&driver{dir: dir, ackWait: DefaultAckWait}, opts...)
}

type ackWait time.Duration

// AckWait sets how long a message may be held without a sign of life. All who
// use the directory must agree. Default [DefaultAckWait].
func AckWait(d time.Duration) broker.Option { return broker.DriverOption(ackWait(d)) }

// driver keeps each queue of a topic in a directory of its own:
//
//	<dir>/<topic>/<queue>/ready/<number>           messages that wait
//	<dir>/<topic>/<queue>/held/<number>~<member>   messages that a member holds
//
// A message moves from one to the other by renaming its file, which succeeds
// for one member only.
type driver struct {
	dir     string
	ackWait time.Duration
	last    atomic.Int64 // number of the last message that was published here
}

// Configure implements [broker.Configurer].
func (d *driver) Configure(v any) error {
	wait, ok := v.(ackWait)
	if !ok {
		return broker.ErrUnsupported
	}
	if wait <= 0 {
		return fmt.Errorf("ack wait is %v, want more than 0", time.Duration(wait))
	}
	d.ackWait = time.Duration(wait)
	return nil
}

// Info implements [broker.Driver].
func (d *driver) Info() broker.Info {
	return broker.Info{
		Name:         "spool",
		Address:      "file://" + d.dir,
		PublishLevel: "written to the directory of every queue",
		AckWait:      d.ackWait,
		Capabilities: broker.Capabilities{
			AtLeastOnce:          true,
			QueueOutlivesMembers: true,
			DeclareQueue:         true,
			KnowsSubscribers:     true,
		},
	}
}

// Connect implements [broker.Driver].
func (d *driver) Connect(context.Context) error { return os.MkdirAll(d.dir, 0o700) }

// Close implements [broker.Driver]. There is nothing to flush.
func (d *driver) Close(context.Context) error { return nil }

// Publish implements [broker.Driver]. It is certain to have failed only as long
// as no queue has the message.
func (d *driver) Publish(_ context.Context, topic string, r *broker.Record, _ broker.PublishOptions) error {
	queues, err := os.ReadDir(filepath.Join(d.dir, topic))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(queues) == 0 {
		return broker.NotDelivered(broker.ErrNoSubscribers)
	}
	if err != nil {
		return broker.NotDelivered(err)
	}
	content, err := json.Marshal(r)
	if err != nil {
		return broker.Rejected(err)
	}
	return d.putAll(queues, topic, content)
}

func (d *driver) putAll(queues []os.DirEntry, topic string, content []byte) error {
	name, taken := d.nextName(), 0
	for _, q := range queues {
		err := d.put(filepath.Join(d.dir, topic, q.Name()), name, content)
		switch {
		case err == nil:
			taken++
		case errors.Is(err, os.ErrNotExist): // the queue of a single subscription that has just ended
		case taken == 0:
			return broker.NotDelivered(err)
		default:
			return err
		}
	}
	if taken == 0 {
		return broker.NotDelivered(broker.ErrNoSubscribers)
	}
	return nil
}

// put makes a message appear in a queue at once and as a whole.
func (d *driver) put(queue, name string, content []byte) error {
	temporary := filepath.Join(queue, name)
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(queue, "ready", name))
}

// nextName returns a file name that sorts behind all earlier ones of this
// driver, and among those of others by time.
func (d *driver) nextName() string {
	for {
		last := d.last.Load()
		next := max(last+1, time.Now().UnixNano())
		if d.last.CompareAndSwap(last, next) {
			return fmt.Sprintf("%020d-%s", next, rand.Text()[:8])
		}
	}
}

// Declare implements [broker.Driver].
func (d *driver) Declare(_ context.Context, topic, queue string) error {
	_, err := d.declare(topic, queue)
	return err
}

func (d *driver) declare(topic, queue string) (string, error) {
	dir := filepath.Join(d.dir, topic, queue)
	return dir, errors.Join(
		os.MkdirAll(filepath.Join(dir, "ready"), 0o700),
		os.MkdirAll(filepath.Join(dir, "held"), 0o700),
	)
}

// Open implements [broker.Driver]. A subscription without a queue gets one that
// no name can have.
func (d *driver) Open(_ context.Context, spec broker.SourceSpec) (broker.Source, error) {
	member := rand.Text()
	queue := spec.Queue
	if queue == "" {
		queue = "+" + member
	}
	dir, err := d.declare(spec.Topic, queue)
	if err != nil {
		return nil, err
	}
	return &source{
		dir: dir, own: spec.Queue == "", member: member, ackWait: d.ackWait,
		stopped: make(chan struct{}),
	}, nil
}
