package broker

import (
	"context"
	"testing"
)

func TestHandlersKnowTheirSource(t *testing.T) {
	if s := HandlerSource(t.Context()); s != nil {
		t.Errorf("outside a handler: got %v, want nil", s)
	}
	d := newFake(Capabilities{})
	d.source.feedFrom = "t"
	e := New(d)
	if err := e.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Disconnect(context.Background()); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	got := make(chan Source, 1)
	_, err := e.Subscribe(t.Context(), "t", func(ctx context.Context, _ *Delivery) error {
		got <- HandlerSource(context.WithoutCancel(ctx))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Publish(t.Context(), "t", &Message{}); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != Source(d.source) {
		t.Errorf("inside a handler: got %v, want its source", s)
	}
}
