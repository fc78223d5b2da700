// Package protovalidateevent validates events by the rules in their schema
// (buf.validate), when they are published and when they are received.
//
//	v, err := protovalidate.New()
//	client := event.NewClient(b, "shop/orders", event.WrapPublish(protovalidateevent.Publish(v)))
//	server := event.NewServer(b, "billing", event.WrapHandle(protovalidateevent.Handle(v)))
package protovalidateevent

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// Publish refuses events that break a rule. The error matches broker.ErrRejected
// and is a *protovalidate.ValidationError, or says why a rule cannot be evaluated.
func Publish(v protovalidate.Validator) event.PublishInterceptor {
	return func(next event.PublishFunc) event.PublishFunc {
		return func(ctx context.Context, s *event.Spec, m proto.Message) error {
			if err := v.Validate(m); err != nil {
				return fmt.Errorf("%w: %w", broker.ErrRejected, err)
			}
			return next(ctx, s, m)
		}
	}
}

// Handle keeps events that break a rule from their handlers. They fail for good:
// the error is permanent and a *protovalidate.ValidationError. An event whose
// rules cannot be evaluated is not at fault; its attempt fails and is retried.
func Handle(v protovalidate.Validator) event.HandleInterceptor {
	return func(next event.HandleFunc) event.HandleFunc {
		return func(ctx context.Context, m proto.Message) error {
			switch err := v.Validate(m); {
			case err == nil:
				return next(ctx, m)
			case isInvalid(err):
				return event.Permanent(err)
			default:
				return fmt.Errorf("protovalidateevent: %w", err)
			}
		}
	}
}

func isInvalid(err error) bool {
	_, invalid := errors.AsType[*protovalidate.ValidationError](err)
	return invalid
}
