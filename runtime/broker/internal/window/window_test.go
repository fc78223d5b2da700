package window

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

func TestTake(t *testing.T) {
	ended := make(chan struct{})
	w := New(1, ended)
	if err := w.Take(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := w.Take(t.Context(), true); !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("full, without waiting: got %v, want ErrBackpressure", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Take(ctx, false); !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.Canceled) {
		t.Errorf("full, until the context ends: got %v, want ErrNotDelivered and Canceled", err)
	}
	waiting := make(chan error)
	go func() { waiting <- w.Take(t.Context(), false) }()
	w.Free()
	if err := <-waiting; err != nil {
		t.Errorf("full, until there is room: got %v, want nil", err)
	}
	go func() { waiting <- w.Take(t.Context(), false) }()
	close(ended)
	if err := <-waiting; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("full, until the end: got %v, want ErrClosed", err)
	}
}

var (
	errSend  = errors.New("not sent")
	errAwait = errors.New("not taken")
)

// TestBatch sends more messages than there is room for.
func TestBatch(t *testing.T) {
	const room = 3
	w := New(room, nil)
	var sent, awaited []int
	errs := Batch(t.Context(), w, 10, false, func(i int) (int, error) {
		if i == 4 {
			return 0, errSend
		}
		sent = append(sent, i)
		if onTheirWay := len(sent) - len(awaited); onTheirWay > room {
			t.Errorf("message %d: %d on their way, want at most %d", i, onTheirWay, room)
		}
		return i, nil
	}, func(i int) error {
		awaited = append(awaited, i)
		if i == 6 {
			return errAwait
		}
		return nil
	})
	want := []int{0, 1, 2, 3, 5, 6, 7, 8, 9}
	if !slices.Equal(sent, want) || !slices.Equal(awaited, want) {
		t.Errorf("got %v sent and %v awaited, want both %v", sent, awaited, want)
	}
	for i, err := range errs {
		if want := map[int]error{4: errSend, 6: errAwait}[i]; !errors.Is(err, want) {
			t.Errorf("message %d: got %v, want %v", i, err, want)
		}
	}
	for range room {
		if err := w.Take(t.Context(), true); err != nil {
			t.Errorf("after the batch: got %v, want all the room", err)
		}
	}
}

// TestBatchWithoutRoom has a window that others have filled.
func TestBatchWithoutRoom(t *testing.T) {
	w := New(1, nil)
	if err := w.Take(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	errs := Batch(t.Context(), w, 2, true,
		func(i int) (int, error) { t.Errorf("message %d was sent", i); return i, nil }, func(int) error { return nil })
	for i, err := range errs {
		if !errors.Is(err, broker.ErrBackpressure) {
			t.Errorf("message %d: got %v, want ErrBackpressure", i, err)
		}
	}
}
