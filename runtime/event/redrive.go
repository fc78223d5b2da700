package event

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Redrive sends what lies on the dead-letter topics of this server back to where
// it failed, and there only to the queue that gave it up, and returns how many it
// sent. Call it when the cause is mended. The broker must be connected; the
// server may run. A broker that cannot is broker.ErrUnsupported. See
// broker.Engine.Redrive for when it ends.
//
// The topics are those of all subscriptions that have a dead letter; where other
// services share one, theirs are sent back as well.
func (s *Server) Redrive(ctx context.Context) (int, error) {
	sent, err := s.redrive(ctx)
	if err != nil {
		return sent, fmt.Errorf("event: redrive %s: %w", s.service, err)
	}
	return sent, nil
}

func (s *Server) redrive(ctx context.Context) (int, error) {
	b, ok := s.broker.(interface {
		Redrive(ctx context.Context, deadLetter string) (int, error)
	})
	if !ok {
		return 0, fmt.Errorf("%w by the broker", broker.ErrUnsupported)
	}
	topics, err := s.deadLetters(ctx)
	if err != nil {
		return 0, err
	}
	sent := 0
	var errs []error
	for _, topic := range topics {
		n, err := b.Redrive(ctx, topic)
		sent += n
		errs = append(errs, err)
	}
	return sent, errors.Join(errs...)
}

// deadLetters returns the dead-letter topics of all routes, each once.
func (s *Server) deadLetters(ctx context.Context) ([]string, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	var topics []string
	for _, r := range s.routes {
		if topic := s.deadLetter(r); topic != "" && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	return topics, nil
}
