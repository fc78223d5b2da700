package redisbroker

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// TestPersistOutlivesAnothersDial: commands share the attempt to connect. When the one
// that began it gives up, the others try again, until their own time is over.
func TestPersistOutlivesAnothersDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{link: newLink(func(error) {}, func(context.Context) error { return nil })}
		defer s.link.end()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		var d net.Dialer
		_, cancelled := d.DialContext(gone, "tcp", "127.0.0.1:1")
		if !errors.Is(cancelled, context.Canceled) || !unsent(cancelled) {
			t.Fatalf("the dial ended with %v, want one that was cancelled", cancelled)
		}
		tries := 0
		err := s.persist(t.Context(), func() error {
			if tries++; tries < 3 {
				return cancelled
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Errorf("got %v after %d tries, want none after 3", err, tries)
		}
		tries = 0
		if err := s.persist(gone, func() error { tries++; return cancelled }); err == nil || tries > 1 {
			t.Errorf("with a context that has ended: got %v after %d tries, want its error after one at most", err, tries)
		}
		if err := s.persist(t.Context(), func() error { return context.Canceled }); !errors.Is(err, context.Canceled) {
			t.Errorf("a command that was cancelled: got %v, want its error", err)
		}
	})
}
