package httpbroker

import (
	"context"
	"net/http"
)

// request is a frame, whom it is for, and what it takes of the quota.
type request struct {
	*frame
	source *source
	room   *room
}

// open reads a frame and looks whom it is for. It lets go of the room when that is
// nobody, or the peer may not.
func (s *server) open(ctx context.Context, peer Peer, body []byte, room *room) (*request, *refusal) {
	q := &request{room: room}
	var bad *refusal
	if f, err := parseFrame(body); err != nil {
		bad = &refusal{http.StatusBadRequest, "frame is malformed"}
	} else if bad = s.mayPublish(ctx, peer, f.topic, f.queue); bad == nil {
		q.frame = f
		q.source, bad = s.find(f)
	}
	if bad != nil {
		room.leave()
		return nil, bad
	}
	return q, nil
}

// answer hands the messages over and writes what becomes of them.
func (q *request) answer(ctx context.Context, to outlet) error {
	defer q.room.leave()
	a := newAnswer(len(q.messages))
	results, work := q.source.take(q.frame, a, q.room)
	for _, r := range results {
		a.finish(r)
	}
	wait := patience
	if q.source.slow.Load() {
		wait = 0
	}
	err := to.answer(ctx, work, a, wait)
	if err != nil {
		q.source.withdraw(a)
	}
	return err
}
