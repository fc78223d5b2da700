package event

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// Publisher is where typed events go: a [Client], an [AsyncClient], or the
// Recorder of package eventtest. Generated publish functions take one. Implementations may be
// called concurrently, and neither change m nor keep it after they return.
type Publisher interface {
	PublishEvent(ctx context.Context, s *Spec, m proto.Message) error
}

// PublisherOf publishes events of one type only: what to inject into code that
// has no business publishing others. Generated code makes it with
// [NewPublisherOf]. It may be copied and used concurrently.
type PublisherOf[T proto.Message] struct {
	publisher Publisher
	spec      *Spec
}

// NewPublisherOf returns a publisher of the events that s describes. It is
// called by generated code.
func NewPublisherOf[T proto.Message](p Publisher, s *Spec) PublisherOf[T] {
	return PublisherOf[T]{p, s}
}

// Publish publishes e as the generated publish function does.
func (p PublisherOf[T]) Publish(ctx context.Context, e T) error {
	return p.publisher.PublishEvent(ctx, p.spec, e)
}
