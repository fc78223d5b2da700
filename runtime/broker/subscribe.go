package broker

import (
	"context"
	"errors"
	"fmt"
)

// DeadLetterQueue is the queue that Subscribe declares on a dead-letter topic,
// and that Redrive takes from.
const DeadLetterQueue = "dead-letters"

// Subscribe implements [Broker]. Options that contradict each other are an
// error; those that the transport cannot honour are [ErrUnsupported].
func (e *Engine) Subscribe(ctx context.Context, topic string, h Handler, opts ...SubscribeOption) (Subscriber, error) {
	var byRecord RecordHandler
	if h != nil {
		byRecord = func(ctx context.Context, d *RecordDelivery) error {
			return h(ctx, &Delivery{Topic: d.Topic, Message: d.Record.Message(), Attempt: d.Attempt})
		}
	}
	return e.SubscribeRecords(ctx, topic, byRecord, opts...)
}

// SubscribeRecords is Subscribe for layers that read records, such as package
// event. It spares them the copies that a [Handler] owns.
func (e *Engine) SubscribeRecords(
	ctx context.Context, topic string, h RecordHandler, opts ...SubscribeOption,
) (Subscriber, error) {
	s, err := e.subscribe(ctx, topic, h, NewSubscribeOptions(opts...))
	if err != nil {
		return nil, fmt.Errorf("broker: subscribe to %q: %w", topic, err)
	}
	return s, nil
}

func (e *Engine) subscribe(ctx context.Context, topic string, h RecordHandler, o SubscribeOptions) (*subscription, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := checkSubscribe(topic, h, o); err != nil {
		return nil, err
	}
	pass, err := e.use()
	if err != nil {
		return nil, err
	}
	defer pass.Done()
	settings := e.settings.Load()
	if err := settings.supports(o); err != nil {
		return nil, err
	}
	if o.DeadLetter != "" {
		if err := e.DeclareQueue(ctx, o.DeadLetter, DeadLetterQueue); err != nil {
			return nil, fmt.Errorf("dead letter: %w", err)
		}
	}
	o.Prefetch = min(max(o.Prefetch, settings.info.Prefetch), o.Window-o.MaxInFlight)
	source, err := e.driver.Open(ctx, SourceSpec{topic, o.Queue, o.MaxInFlight, o.Prefetch, o.Window})
	if err != nil {
		return nil, err
	}
	s := newSubscription(ctx, e, source, topic, h, o)
	s.start()
	if !e.register(s) { // Disconnect came in between, and waits for this call
		return nil, errors.Join(ErrClosed, s.Unsubscribe(ctx))
	}
	return s, nil
}

func (e *Engine) register(s *subscription) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != stateConnected {
		return false
	}
	e.subscribers[s] = struct{}{}
	return true
}

func (e *Engine) unregister(s *subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subscribers, s)
}

func checkSubscribe(topic string, h RecordHandler, o SubscribeOptions) error {
	errs := []error{CheckTopic(topic)}
	if o.Queue != "" {
		errs = append(errs, wrap("option Queue", CheckTopic(o.Queue)))
	}
	if o.DeadLetter != "" {
		errs = append(errs, wrap("option DeadLetter", CheckTopic(o.DeadLetter)))
	}
	fail := func(bad bool, text string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(text, args...))
		}
	}
	fail(h == nil, "handler is nil")
	fail(o.DeadLetter == topic, "option DeadLetter: the topic cannot be its own dead letter")
	fail(o.MaxInFlight < 1, "option MaxInFlight: got %d, want at least 1", o.MaxInFlight)
	fail(o.Prefetch < 0, "option Prefetch: got %d, want 0 or more", o.Prefetch)
	fail(o.Window < o.MaxInFlight, "option Window: got %d, want at least MaxInFlight, which is %d", o.Window, o.MaxInFlight)
	fail(o.MaxAttempts < 0, "option MaxAttempts: got %d, want 0 or more", o.MaxAttempts)
	fail(o.DropExhausted && o.MaxAttempts < 1, "option DropAfter: got %d, want at least 1", o.MaxAttempts)
	fail(o.MaxDeliveries < 0, "option MaxDeliveries: got %d, want 0 or more", o.MaxDeliveries)
	fail(o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin,
		"option Backoff: got %v to %v, want 0 <= lowest <= highest", o.BackoffMin, o.BackoffMax)
	fail(o.MaxAttempts > 0 && o.DeadLetter == "" && !o.DropExhausted,
		"option MaxAttempts needs DeadLetter, so that what failed too often is kept; DropAfter drops it instead")
	return errors.Join(errs...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// supports reports options that the transport cannot honour.
func (s *settings) supports(o SubscribeOptions) error {
	c := s.info.Capabilities
	var errs []error
	if o.MaxDeliveries > 0 && !c.DeliveryCount {
		errs = append(errs, fmt.Errorf("option MaxDeliveries: %w by %s, which does not count deliveries", ErrUnsupported, s.info.Name))
	}
	if o.DeadLetter != "" && !c.DeclareQueue {
		errs = append(errs, fmt.Errorf("option DeadLetter: %w by %s, which cannot keep a queue without a consumer", ErrUnsupported, s.info.Name))
	}
	return errors.Join(errs...)
}
