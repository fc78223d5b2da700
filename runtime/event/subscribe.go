package event

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Handler handles one event. Nil acknowledges it; [Permanent], [RetryAfter],
// [ErrRequeue] and any other error do what they do in broker.Handler. The
// handler owns e. [FromContext] gives the rest of what is known of the event.
//
// Ctx ends when the server stops and its drain runs out of time.
type Handler[T proto.Message] func(ctx context.Context, e T) error

// Subscribe registers h on s for the events that spec describes. It is called
// by generated code. Nothing is received before [Server.Start].
//
// Events of several types may share a topic. All subscriptions of one topic and
// queue are one subscription of the broker and must have the same options. An
// option that is not valid, other options on the same topic and queue, or a type
// that is handled there already are an error; the latter two are [ErrConflict].
// When the server runs the error is [ErrServerStarted].
func Subscribe[T proto.Message](s *Server, spec *Spec, h Handler[T], opts ...SubscribeOption) error {
	message := reflect.TypeFor[T]()
	switch {
	case spec == nil:
		return errors.New("event: subscribe: spec is nil")
	case h == nil:
		return fmt.Errorf("event: subscribe %s: handler is nil", spec.Type)
	case message.Kind() != reflect.Pointer:
		return fmt.Errorf("event: subscribe %s: the handler's event is %s, not a message type", spec.Type, message)
	}
	call := func(ctx context.Context, m proto.Message) error { return h(ctx, m.(T)) }
	return s.subscribe(spec, message.Elem(), call, opts)
}

// handler handles the events of one spec.
type handler struct {
	spec    *Spec
	message reflect.Type // below its pointer
	call    HandleFunc   // inside of the interceptors
}

// newMessage returns an empty message. It is what the message's own type does, without
// the way there and back.
func (h *handler) newMessage() proto.Message {
	return reflect.New(h.message).Interface().(proto.Message) //nolint:forcetypeassert // Subscribe takes nothing else
}

func (s *Server) subscribe(
	spec *Spec, message reflect.Type, call HandleFunc, opts []SubscribeOption,
) error {
	s.lock <- struct{}{}
	defer s.unlock()
	if err := s.register(&handler{spec, message, call}, opts); err != nil {
		return fmt.Errorf("event: subscribe %s: %w", spec.Type, err)
	}
	return nil
}

func (s *Server) register(h *handler, opts []SubscribeOption) error {
	if s.err != nil {
		return s.err
	}
	if s.started {
		return ErrServerStarted
	}
	o := newSubscribeOptions(s.service, h.spec.Topic, opts)
	key := routeKey{s.options.mapTopic.of(o.topic), o.queue}
	if err := errors.Join(checkSpec(h.spec), broker.CheckTopic(key.topic), o.check()); err != nil {
		return err
	}
	h.call = chain(chain(h.call, o.wrap), s.options.wrap)
	r := s.find(key)
	if r == nil {
		r = newRoute(key, o.routeOptions)
	}
	if err := r.add(h, o); err != nil {
		return err
	}
	if s.find(key) == nil {
		s.routes = append(s.routes, r)
	}
	return nil
}

func (s *Server) find(key routeKey) *route {
	for _, r := range s.routes {
		if r.key == key {
			return r
		}
	}
	return nil
}

func checkSpec(s *Spec) error {
	if s.Type == "" {
		return errors.New("spec has no type")
	}
	return nil
}
