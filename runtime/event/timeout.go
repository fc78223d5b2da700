package event

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// PublishTimeout bounds each publish to d, waiting for room or a reconnection
// included. Then the error matches context.DeadlineExceeded. Without it only the
// caller's context bounds the call.
func PublishTimeout(d time.Duration) PublishInterceptor {
	late := fmt.Errorf("not published within %v: %w", d, context.DeadlineExceeded)
	return func(next PublishFunc) PublishFunc {
		return func(ctx context.Context, s *Spec, m proto.Message) error {
			ctx, cancel := context.WithTimeoutCause(ctx, d, late)
			defer cancel()
			return next(ctx, s, m)
		}
	}
}

// HandleTimeout ends the context of each attempt to handle an event after d. The
// handler has to heed it; the error that it then returns is a failed attempt, as
// any other. Without it a handler may take for ever, and what waits behind its
// key waits with it.
func HandleTimeout(d time.Duration) HandleInterceptor {
	late := fmt.Errorf("not handled within %v: %w", d, context.DeadlineExceeded)
	return func(next HandleFunc) HandleFunc {
		return func(ctx context.Context, m proto.Message) error {
			ctx, cancel := context.WithTimeoutCause(ctx, d, late)
			defer cancel()
			return next(ctx, m)
		}
	}
}
