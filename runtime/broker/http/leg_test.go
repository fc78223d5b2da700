package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// ending is how a leg ended: its error, and how many members may have the message.
type ending struct {
	err     error
	mayHave int
}

var (
	reached  = ending{nil, 0}
	gone     = ending{errGone, 0}
	refused  = ending{fmt.Errorf("%w: %w", errRejected, broker.ErrTooLarge), 0}
	crowded  = ending{fmt.Errorf("%w: %w", broker.ErrBackpressure, errNoMember), 0}
	closed   = ending{fmt.Errorf("%w: %w", broker.ErrClosed, errNoMember), 0}
	lost     = ending{fmt.Errorf("%w: %w", context.DeadlineExceeded, errSilent), 1}
	lostFull = ending{fmt.Errorf("%w: %w", broker.ErrBackpressure, errNoMember), 1}
	lostShut = ending{fmt.Errorf("%w: %w", broker.ErrClosed, errSilent), 1}
	lostGone = ending{errGone, 1}
	twoMinds = ending{refused.err, 1} // another member may have it
)

// TestWhatBecameOfTheMessage makes an error of what the legs of a message ended with.
// The cause must not say more than is known: that the broker is closed now, or one
// queue full, does not mean that no member has the message.
func TestWhatBecameOfTheMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		legs    []ending
		outcome error // nil: uncertain
	}{
		"no subscription any more":        {[]ending{gone}, broker.ErrNotDelivered},
		"refused":                         {[]ending{refused}, broker.ErrRejected},
		"no room":                         {[]ending{crowded}, broker.ErrNotDelivered},
		"closed before":                   {[]ending{closed}, broker.ErrNotDelivered},
		"out of time":                     {[]ending{lost}, nil},
		"closed meanwhile":                {[]ending{lostShut}, nil},
		"cut, then no room":               {[]ending{lostFull}, nil},
		"cut, then gone":                  {[]ending{lostGone}, nil},
		"cut, then refused by another":    {[]ending{twoMinds}, nil},
		"all gone":                        {[]ending{gone, gone}, broker.ErrNotDelivered},
		"one gone after a cut":            {[]ending{gone, lostGone}, nil},
		"all refused":                     {[]ending{refused, refused}, broker.ErrRejected},
		"all without room":                {[]ending{crowded, closed}, broker.ErrNotDelivered},
		"one reached, one without room":   {[]ending{reached, crowded}, nil},
		"one reached, one closed":         {[]ending{closed, reached}, nil},
		"one refused, one without room":   {[]ending{refused, crowded}, nil},
		"one uncertain, one without room": {[]ending{lost, crowded}, nil},
		"one uncertain, one refused":      {[]ending{refused, twoMinds}, nil},
		"one reached, one refused":        {[]ending{reached, refused}, broker.ErrRejected},
	} {
		t.Run(name, func(t *testing.T) {
			err := join(tc.legs)
			for _, outcome := range []error{broker.ErrNotDelivered, broker.ErrRejected} {
				if got, want := errors.Is(err, outcome), outcome == tc.outcome; got != want {
					t.Errorf("errors.Is(%v, %v): got %v, want %v", err, outcome, got, want)
				}
			}
			if err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
	if err := join([]ending{reached, lostGone}); err != nil {
		t.Errorf("one reached, one gone after a cut: got %v, want nil", err)
	}
}

func join(ends []ending) error {
	legs, errs := make([]leg, len(ends)), make([]error, len(ends))
	for i, e := range ends {
		legs[i].queue, errs[i] = &queue{name: fmt.Sprint("q", i)}, e.err
		for range e.mayHave {
			legs[i].doubt(new(endpoint))
		}
	}
	if len(legs) == 1 {
		return legs[0].error(errs[0])
	}
	return joinLegs(legs, errs)
}

// TestDoubts asks members again that have not answered.
func TestDoubts(t *testing.T) {
	var l leg
	a, b := new(endpoint), new(endpoint)
	for _, ep := range []*endpoint{a, b, a} {
		l.doubt(ep)
	}
	if n := len(l.mayHave); n != 2 || l.mayHave[1] != a {
		t.Errorf("members that may have the message: got %d, want both, the last one last", n)
	}
	l.trust(a)
	if !l.isUncertain() {
		t.Error("certain, although one has not answered")
	}
	l.trust(b)
	if l.isUncertain() {
		t.Error("uncertain, although both have answered")
	}
}

// TestTheReasonOutlivesTheTime ends a context while a member is asked once more.
func TestTheReasonOutlivesTheTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := leg{publisher: &publisher{closed: make(chan struct{})}}
	l.blame(fmt.Errorf("handshake: %w", context.Canceled))
	l.blame(errSelf)
	l.blame(fmt.Errorf("handshake: %w", context.Canceled))
	if err := l.ended(ctx); !errors.Is(err, errSelf) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context and the reason before", err)
	}
}
