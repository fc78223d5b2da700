package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Publish implements [Broker].
func (e *Engine) Publish(ctx context.Context, topic string, m *Message, opts ...PublishOption) error {
	var o PublishOptions
	if len(opts) > 0 {
		o = NewPublishOptions(opts...)
	}
	if m == nil {
		return publishError(topic, Rejected(errNilMessage))
	}
	out := newOutgoing(m)
	defer out.free()
	return e.send(ctx, topic, &out.record, o, headerLimits)
}

// PublishRecord is Publish for layers that make records, such as package event.
// Like Publish it neither changes r nor keeps it, but for a list of headers that r
// offers; see [Record.OfferHeader].
func (e *Engine) PublishRecord(ctx context.Context, topic string, r *Record) error {
	return e.send(ctx, topic, r, PublishOptions{}, headerLimits)
}

// PublishBatch publishes messages to one topic, in their order, and returns nil
// or one error per message, nil for those that were accepted. It is one round
// trip on transports that can, and a loop on the others.
func (e *Engine) PublishBatch(ctx context.Context, topic string, ms []*Message, opts ...PublishOption) []error {
	rs := make([]*Record, len(ms))
	for i, m := range ms {
		if m != nil {
			rs[i] = &Record{Key: m.Key, Body: m.Body, Header: appendFields(nil, m.Header)}
		}
	}
	return e.publishBatch(ctx, topic, rs, NewPublishOptions(opts...))
}

// PublishRecords is PublishBatch for layers that make records, such as package
// event.
func (e *Engine) PublishRecords(ctx context.Context, topic string, rs []*Record) []error {
	return e.publishBatch(ctx, topic, rs, PublishOptions{})
}

func (e *Engine) publishBatch(ctx context.Context, topic string, rs []*Record, o PublishOptions) []error {
	b, ok := e.driver.(BatchPublisher)
	if !ok {
		return each(rs, func(r *Record) error { return e.send(ctx, topic, r, o, headerLimits) })
	}
	pass, settings, err := e.admit(ctx, topic, o)
	if err != nil {
		return each(rs, func(*Record) error { return publishError(topic, err) })
	}
	defer pass.Done()
	errs := make([]error, len(rs))
	valid, places := make([]*Record, 0, len(rs)), make([]int, 0, len(rs))
	for i, r := range rs {
		out, err := settings.prepare(r, headerLimits)
		if err != nil {
			errs[i] = publishError(topic, err)
			continue
		}
		valid, places = append(valid, out), append(places, i)
	}
	for i, err := range b.PublishBatch(ctx, topic, valid, o) {
		errs[places[i]] = publishResult(topic, err, o)
	}
	return orNil(errs)
}

func each(rs []*Record, f func(*Record) error) []error {
	errs := make([]error, len(rs))
	for i, r := range rs {
		errs[i] = f(r)
	}
	return orNil(errs)
}

// orNil returns errs when it holds an error, otherwise nil.
func orNil(errs []error) []error {
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

// outgoing is the record of a message for the time of its Publish.
type outgoing struct {
	record Record
	taken  bool // a driver keeps the list of headers
}

var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

func newOutgoing(m *Message) *outgoing {
	out := outgoings.Get().(*outgoing) //nolint:forcetypeassert // the pool holds nothing else
	out.record = Record{Key: m.Key, Body: m.Body, Header: appendFields(out.record.Header[:0], m.Header)}
	out.record.OfferHeader(&out.taken)
	return out
}

func (out *outgoing) free() {
	header := out.record.Header
	if out.taken {
		header = nil
	}
	clear(header)
	*out = outgoing{record: Record{Header: header}}
	outgoings.Put(out)
}

// send publishes within a header budget.
func (e *Engine) send(ctx context.Context, topic string, r *Record, o PublishOptions, headers headerBudget) error {
	pass, settings, err := e.admit(ctx, topic, o)
	if err != nil {
		return publishError(topic, err)
	}
	defer pass.Done()
	out, err := settings.prepare(r, headers)
	if err != nil {
		return publishError(topic, err)
	}
	return publishResult(topic, e.driver.Publish(ctx, topic, out, o), o)
}

// admit lets a publish in, which must then call Done.
func (e *Engine) admit(ctx context.Context, topic string, o PublishOptions) (*passes, *settings, error) {
	if ctx.Err() != nil {
		return nil, nil, NotDelivered(context.Cause(ctx))
	}
	if err := CheckTopic(topic); err != nil {
		return nil, nil, Rejected(err)
	}
	pass, err := e.use()
	if err != nil {
		return nil, nil, NotDelivered(err)
	}
	settings := e.settings.Load()
	if o.NoWait && !settings.info.Capabilities.NoWait {
		pass.Done()
		return nil, nil, Rejected(fmt.Errorf("option NoWait: %w by %s", ErrUnsupported, settings.info.Name))
	}
	return pass, settings, nil
}

var errNilMessage = errors.New("message is nil")

// prepare checks r and returns what the driver can carry.
func (s *settings) prepare(r *Record, headers headerBudget) (*Record, error) {
	if r == nil {
		return nil, Rejected(errNilMessage)
	}
	if len(r.Body) > s.maxBytes {
		return nil, Rejected(fmt.Errorf("%w: the body has %d bytes, more than %d", ErrTooLarge, len(r.Body), s.maxBytes))
	}
	if err := headers.check(r); err != nil {
		return nil, Rejected(err)
	}
	return encodeHeaders(r, s.info.Headers), nil
}

func publishResult(topic string, err error, o PublishOptions) error {
	if err == nil || o.AllowNoSubscribers && isNoSubscribers(err) {
		return nil
	}
	return publishError(topic, err)
}

// isNoSubscribers reports whether it is certain that nobody would have kept the message.
func isNoSubscribers(err error) bool {
	return errors.Is(err, ErrNoSubscribers) && errors.Is(outcomeOf(err), ErrNotDelivered)
}

// publishError says what became of the message.
func publishError(topic string, err error) error {
	outcome := outcomeOf(err)
	if marked, ok := err.(*markedError); ok { //nolint:errorlint // only an outermost mark is taken off
		err = marked.err
	}
	for _, other := range outcomes {
		if other != outcome && errors.Is(err, other) { //nolint:errorlint // the sentinels themselves are compared
			err = &causeError{err}
			break
		}
	}
	return &PublishError{topic, outcome, err}
}

var outcomes = [...]error{ErrNotDelivered, ErrUncertain, ErrRejected}

// outcomeOf returns what the mark of a driver's error says. One among several errors
// that are wrapped together says nothing: it may be of an earlier attempt, of one queue
// of several, or the reason why a context ended.
func outcomeOf(err error) error {
	for ; err != nil; err = errors.Unwrap(err) {
		if marked, ok := err.(*markedError); ok { //nolint:errorlint // see above
			return marked.outcome
		}
	}
	return ErrUncertain
}

// causeError hides what the errors that it wraps say of other outcomes.
type causeError struct{ err error }

func (e *causeError) Error() string { return e.err.Error() }

// Is is asked by errors.Is.
func (e *causeError) Is(target error) bool {
	return !slices.Contains(outcomes[:], target) && errors.Is(e.err, target)
}

// As is asked by errors.As.
func (e *causeError) As(target any) bool { return errors.As(e.err, target) }
