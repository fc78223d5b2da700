package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// singleTimeout is how long a subscription without a queue may take to say that
// it has a message. A member of a queue may be replaced meanwhile and is waited
// for; such a subscription cannot.
const singleTimeout = time.Second

// runSingle delivers the message to a subscription without a queue, or returns
// errGone.
func (l *leg) runSingle(ctx context.Context) error {
	if _, err := l.single.turns.take(ctx, l.message.key, l.deadline); err != nil {
		return err
	}
	defer l.single.turns.give(l.message.key)
	deadline := time.NewTimer(singleTimeout)
	defer deadline.Stop()
	for {
		v := l.single.deliver(ctx, l.message, l.deadline, deadline.C)
		switch {
		case v.kind == done:
			return nil
		case v.kind == leaving, v.kind == unsent && isDead(l.single.entry.Address, v.err):
			return errGone
		case v.kind == rejected:
			l.trust(l.single)
			return l.refused(v.err)
		case v.kind == cut:
			l.doubt(l.single)
		}
		l.blame(v.err)
		l.failures++
		switch {
		case errors.Is(v.err, errSilent), l.isOver(ctx):
			return l.ended(ctx)
		case l.noWait && !l.isUncertain():
			return fmt.Errorf("%w: %w", broker.ErrBackpressure, v.err)
		}
		if v.kind == full { // it is alive
			deadline.Reset(singleTimeout)
		}
		if err := l.pauseSingle(ctx, deadline.C); err != nil {
			return err
		}
	}
}

func (l *leg) pauseSingle(ctx context.Context, deadline <-chan time.Time) error {
	timer := time.NewTimer(min(backoff(l.failures), time.Until(l.deadline)))
	defer timer.Stop()
	select {
	case <-timer.C:
		if !l.isOver(ctx) {
			return nil
		}
	case <-deadline:
		return fmt.Errorf("%w: %w", errSilent, l.last)
	case <-l.publisher.closed:
	case <-ctx.Done():
	}
	return l.ended(ctx)
}

// isDead reports whether the refusal of a connection proves that a subscription
// has ended: on this machine only its process can have held the port.
func isDead(address string, err error) bool {
	at, parseErr := netip.ParseAddrPort(address)
	return parseErr == nil && at.Addr().IsLoopback() && errors.Is(err, syscall.ECONNREFUSED)
}

// selfDelivery returns an error when a message would wait for the handler that
// publishes it.
func selfDelivery(ctx context.Context, legs []leg) error {
	src, ok := broker.HandlerSource(ctx).(*source)
	if !ok || src.slots > 1 {
		return nil
	}
	for i := range legs {
		l := &legs[i]
		if l.publisher.level == Handled && l.reaches(ctx, src) {
			return fmt.Errorf("%s: %w", l, errSelf)
		}
	}
	return nil
}

// reaches reports whether src is where the message would go now.
func (l *leg) reaches(ctx context.Context, src *source) bool {
	if l.single != nil {
		return l.single.entry == src.entry
	}
	_, r, err := l.publisher.route(ctx, l.topic.name)
	if err != nil {
		return false
	}
	best := highest(r.members(l.queue), l.message.choice)
	return best != nil && best.entry == src.entry
}
