package event

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// Handler handles one event. Nil acknowledges it. The handler owns e.
type Handler[T proto.Message] func(ctx context.Context, e T) error

// Server runs the handlers of a service.
type Server struct{}

// SubscribeOption sets an option of one subscription.
type SubscribeOption interface{ applySubscribe() }

// Subscribe registers h on s for the events that spec describes. It is called
// by generated code.
func Subscribe[T proto.Message](s *Server, spec *Spec, h Handler[T], opts ...SubscribeOption) error {
	return nil
}
