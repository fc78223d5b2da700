package httpbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

var (
	// errRejected is wrapped by the error of a message that was refused for good.
	errRejected = errors.New("rejected")

	// errGone is returned for a subscription without a queue that has ended: it
	// needs no copy.
	errGone = errors.New("the subscription has ended")

	errNoMember = errors.New("no member took it in time")
	errSelf     = errors.New("the handler publishes to its own subscription, whose only slot it holds, and would wait for itself; use MaxInFlight, PublishLevel(Accepted) or another topic")
)

// leg is the way of a message to one queue, or to one subscription without one.
type leg struct {
	publisher *publisher
	topic     *topic
	queue     *queue    // nil for a single subscription
	single    *endpoint // nil for a queue
	message   *outgoing
	deadline  time.Time // of the whole, that of ctx or sooner
	noWait    bool
	route     *route // that was looked up just now, for the first attempt; else nil

	mayHave  []*endpoint // members that were asked and have not answered, the last one last
	last     error       // of the attempts
	failures int
}

// isUncertain reports whether a member may have the message.
func (l *leg) isUncertain() bool { return len(l.mayHave) > 0 }

// doubt notes that ep may have the message.
func (l *leg) doubt(ep *endpoint) {
	l.trust(ep)
	l.mayHave = append(l.mayHave, ep)
}

// trust notes that ep has not got the message: it knows those that it had.
func (l *leg) trust(ep *endpoint) {
	l.mayHave = slices.DeleteFunc(l.mayHave, func(other *endpoint) bool { return other == ep })
}

// String says where the leg leads.
func (l *leg) String() string {
	if l.queue != nil {
		return fmt.Sprintf("queue %q", l.queue.name)
	}
	return "subscriber at " + l.single.entry.Address
}

func (p *publisher) legs(t *topic, r *route, m *outgoing, deadline time.Time, o broker.PublishOptions) []leg {
	legs := make([]leg, len(r.queues)+len(r.single))
	for i := range legs {
		legs[i] = leg{publisher: p, topic: t, message: m, deadline: deadline, noWait: o.NoWait}
		if i < len(r.queues) {
			legs[i].queue, legs[i].route = r.queues[i].queue, r
		} else {
			legs[i].single = r.single[i-len(r.queues)]
		}
	}
	return legs
}

// error marks the error of the only leg for the engine.
func (l *leg) error(err error) error {
	switch {
	case err == nil:
		return nil
	case l.isUncertain():
		return fmt.Errorf("%s: %w", l, err)
	case errors.Is(err, errGone):
		return broker.NotDelivered(broker.ErrNoSubscribers)
	case errors.Is(err, errRejected):
		return broker.Rejected(fmt.Errorf("%s: %w", l, err))
	}
	return broker.NotDelivered(fmt.Errorf("%s: %w", l, err))
}

// run delivers the message. It returns nil when that succeeded; uncertain says
// what an error means.
func (l *leg) run(ctx context.Context) error {
	if l.queue == nil {
		return l.runSingle(ctx)
	}
	if l.publisher.level == Accepted {
		return l.queue.backlog.accept(ctx, l)
	}
	if err := l.takeTurn(ctx); err != nil {
		return err
	}
	defer l.queue.turns.give(l.message.key)
	return l.runQueue(ctx)
}

// takeTurn waits for the turn of the key in the queue. Where the messages go may be
// another place by then.
func (l *leg) takeTurn(ctx context.Context) error {
	waited, err := l.queue.turns.take(ctx, l.message.key, l.deadline)
	if waited {
		l.route = nil
	}
	return err
}

// runQueue asks members of the queue until one has done it.
func (l *leg) runQueue(ctx context.Context) error {
	for {
		ep, route, err := l.choose(ctx)
		if err != nil {
			return err
		}
		if ep == nil {
			if err := l.wait(ctx, route); err != nil {
				return err
			}
			continue
		}
		ended, err := l.try(ctx, ep, route)
		if ended {
			return err
		}
	}
}

// try asks a member once and reports whether that was the end.
func (l *leg) try(ctx context.Context, ep *endpoint, route *route) (ended bool, err error) {
	v := ep.deliver(ctx, l.message, l.deadline, nil)
	switch v.kind {
	case done:
		return true, nil
	case rejected:
		l.trust(ep)
		return true, l.refused(v.err)
	case cut:
		l.doubt(ep)
	case unsent, leaving, full, failed:
	}
	l.blame(v.err)
	switch {
	case l.isOver(ctx):
		return true, l.ended(ctx)
	case l.noWait && !l.isUncertain():
		return true, fmt.Errorf("%w: %w", broker.ErrBackpressure, v.err)
	case v.kind == full:
		l.failures++
		return false, l.pause(ctx, route, min(backoff(l.failures), fullBackoff), nil)
	case v.kind == failed || v.kind == cut:
		l.failures++
		return false, l.pause(ctx, route, l.publisher.budget.delay(l.failures), nil)
	}
	return false, nil // another member, or none: choose knows
}

// blame notes why an attempt failed. That its time was over says less than what went
// wrong before.
func (l *leg) blame(err error) {
	if l.last == nil || !isContext(err) {
		l.last = err
	}
}

// refused is the error of a message that a member will never take.
func (l *leg) refused(cause error) error {
	status := 0
	if s, ok := errors.AsType[*statusError](cause); ok {
		status = s.status
	}
	if r, ok := errors.AsType[*refusalError](cause); ok {
		status = r.status
	}
	switch status {
	case http.StatusConflict:
		return fmt.Errorf("%w: the id was used for another message: %w", errRejected, cause)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w: %w", errRejected, broker.ErrTooLarge, cause)
	}
	return fmt.Errorf("%w: %w", errRejected, cause)
}

// choose returns the member to ask: the one that may have the message, else the
// one that suits it best of those that can be reached. It returns none when
// there is none at the moment.
func (l *leg) choose(ctx context.Context) (*endpoint, *route, error) {
	r := l.route
	l.route = nil
	if r == nil {
		var err error
		if _, r, err = l.publisher.route(ctx, l.topic.name); err != nil {
			return nil, nil, err
		}
	}
	members := r.members(l.queue)
	if len(members) == 1 {
		if h := &members[0].health; h.isWell() || h.available(time.Now()) {
			return members[0], r, nil
		}
		return nil, r, nil
	}
	return l.best(members), r, nil
}

func (l *leg) best(members []*endpoint) *endpoint {
	now := time.Now()
	if n := len(l.mayHave); n > 0 {
		if last := l.mayHave[n-1]; slices.Contains(members, last) && last.health.available(now) {
			return last
		}
	}
	if first := highest(members, l.message.choice); first != nil && first.health.available(now) {
		return first
	}
	ranked := slices.Clone(members)
	slices.SortFunc(ranked, func(a, b *endpoint) int {
		return cmp.Compare(rank(b.entry.memberName(), l.message.choice), rank(a.entry.memberName(), l.message.choice))
	})
	for _, ep := range ranked {
		if ep.health.available(now) {
			return ep
		}
	}
	return nil
}

// highest returns the member with the highest rank, or nil.
func highest(members []*endpoint, choice string) *endpoint {
	var best *endpoint
	var most uint64
	for _, ep := range members {
		if score := rank(ep.entry.memberName(), choice); best == nil || score > most {
			best, most = ep, score
		}
	}
	return best
}

// wait returns when there may be a member to ask.
func (l *leg) wait(ctx context.Context, route *route) error {
	if l.noWait {
		return fmt.Errorf("%w: %w", broker.ErrBackpressure, errNoMember)
	}
	size := int64(len(l.message.encoded))
	if !l.publisher.waiting.take(size) {
		return fmt.Errorf("%w: too many messages wait for a member", broker.ErrBackpressure)
	}
	defer l.publisher.waiting.give(size)
	delay, mended := route.wait(l.queue)
	return l.pause(ctx, route, delay, mended)
}

// wait returns how long no member of a queue may be asked, and what tells of one
// that may be sooner.
func (r *route) wait(q *queue) (time.Duration, <-chan struct{}) {
	delay := publishTimeout
	var mended <-chan struct{}
	for _, ep := range r.members(q) {
		at, c := ep.health.wait()
		delay = min(delay, max(0, time.Until(at)))
		mended = c // with several members the time tells soon enough
	}
	return delay, mended
}

// pause waits for a while, or until something has changed.
func (l *leg) pause(ctx context.Context, route *route, delay time.Duration, mended <-chan struct{}) error {
	timer := time.NewTimer(min(delay, time.Until(l.deadline)))
	defer timer.Stop()
	select {
	case <-timer.C:
		if l.isOver(ctx) {
			return l.ended(ctx)
		}
	case <-mended:
	case <-l.topic.changed(route.view):
	case <-l.publisher.closed:
		return l.ended(ctx)
	case <-ctx.Done():
		return l.ended(ctx)
	}
	return nil
}

// isOver reports whether there is no time left to try again.
func (l *leg) isOver(ctx context.Context) bool {
	select {
	case <-l.publisher.closed:
		return true
	case <-ctx.Done():
		return true
	default:
		return !time.Now().Before(l.deadline)
	}
}

// ended is the error of a leg that ran out of time.
func (l *leg) ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil && l.publisher.isClosed() {
		cause = broker.ErrClosed
	}
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	last := l.last
	if last == nil {
		last = errNoMember
	}
	if errors.Is(last, cause) {
		return last
	}
	return fmt.Errorf("%w: %w", cause, last)
}

func (p *publisher) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}
