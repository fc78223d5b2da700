package event

import (
	"context"
	"fmt"
)

// Health returns nil while the server takes events and its broker is well, as
// far as the broker can tell within ctx. It fails with [ErrServerStopped] from
// the moment the server stops, so that as a readiness probe it ends the traffic
// to a process that drains. It does not wait for Start or Stop.
func (s *Server) Health(ctx context.Context) error {
	if err := s.health(ctx); err != nil {
		return fmt.Errorf("event: health of %s: %w", s.service, err)
	}
	return nil
}

func (s *Server) health(ctx context.Context) error {
	if !s.serving.Load() {
		return ErrServerStopped
	}
	if b, ok := s.broker.(interface{ Health(context.Context) error }); ok {
		return b.Health(ctx)
	}
	return nil
}
