package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// redriveIdle is how long Redrive waits for another dead letter before it takes
// the queue for empty.
const redriveIdle = time.Second

// errNotDeadLetter is the cause of a message that Redrive cannot send back.
var errNotDeadLetter = errors.New("message has no header " + DeadLetterTopicHeader)

// Redrive publishes the messages of a dead-letter topic again to where they
// failed: their topic, and there only to the queue that had given them up. It
// takes those that were dead-lettered before it began, from [DeadLetterQueue],
// and returns how many it sent when none has come for a second, or ctx ends. A
// message is acknowledged on the dead-letter topic after it was published, so a
// failure in between may send it twice. Messages that are no dead letters stay.
func (e *Engine) Redrive(ctx context.Context, deadLetter string) (int, error) {
	r := &redriver{engine: e, began: time.Now(), progress: make(chan struct{}, 1)}
	sub, err := e.SubscribeRecords(ctx, deadLetter, r.handle, Queue(DeadLetterQueue), Backoff(redriveIdle, redriveIdle))
	if err != nil {
		return 0, fmt.Errorf("broker: redrive: %w", err)
	}
	waitErr := r.wait(ctx)
	endErr := sub.Unsubscribe(context.WithoutCancel(ctx))
	var sendErr error
	if p := r.failure.Load(); p != nil {
		sendErr = *p
	}
	if err := errors.Join(waitErr, sendErr, endErr); err != nil {
		return int(r.sent.Load()), fmt.Errorf("broker: redrive %q: %w", deadLetter, err)
	}
	return int(r.sent.Load()), nil
}

type redriver struct {
	engine   *Engine
	began    time.Time
	sent     atomic.Int64
	failure  atomic.Pointer[error] // the last one that kept a message here
	progress chan struct{}
}

// wait returns when no message has been sent for redriveIdle.
func (r *redriver) wait(ctx context.Context) error {
	idle := time.NewTimer(redriveIdle)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-idle.C:
			return nil
		case <-r.progress:
			idle.Reset(redriveIdle)
		}
	}
}

// handle sends one dead letter back. What it cannot send it keeps for another
// time, uncounted.
func (r *redriver) handle(ctx context.Context, d *RecordDelivery) error {
	err := r.send(ctx, &d.Record)
	if errors.Is(err, errTooNew) {
		return ErrRequeue
	}
	if err != nil {
		r.failure.Store(&err)
		return fmt.Errorf("%w: %w", ErrRequeue, err)
	}
	r.sent.Add(1)
	select {
	case r.progress <- struct{}{}:
	default:
	}
	return nil
}

var errTooNew = errors.New("dead-lettered after redrive began")

func (r *redriver) send(ctx context.Context, dead *Record) error {
	topic, ok := dead.Get(DeadLetterTopicHeader)
	if !ok {
		return errNotDeadLetter
	}
	given, _ := dead.Get(DeadLetterTimeHeader)
	at, err := time.Parse(time.RFC3339Nano, given)
	if err != nil {
		return fmt.Errorf("header %s: %w", DeadLetterTimeHeader, err)
	}
	if at.After(r.began) {
		return errTooNew
	}
	queue, _ := dead.Get(DeadLetterQueueHeader)
	revived := &Record{Key: dead.Key, Body: dead.Body, Header: without(dead.Header, poisonHeaders...)}
	return r.engine.sendTo(ctx, topic, queue, revived)
}

// sendTo publishes r to one queue of a topic. The others acknowledge it unseen.
func (e *Engine) sendTo(ctx context.Context, topic, queue string, r *Record) error {
	pass, settings, err := e.admit(ctx, topic, PublishOptions{})
	if err != nil {
		return publishError(topic, err)
	}
	defer pass.Done()
	out, err := settings.prepare(r, poisonLimits)
	if err != nil {
		return publishError(topic, err)
	}
	header := append(slices.Clone(out.Header), Field{redriveHeader, queue})
	addressed := &Record{Key: out.Key, Header: header, Body: out.Body}
	return publishResult(topic, e.driver.Publish(ctx, topic, addressed, PublishOptions{}), PublishOptions{})
}
