package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// pullExpiry is how long the server keeps a request for messages, and
	// pullHeartbeat how often it says so meanwhile.
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	pullSilence   = 2*pullHeartbeat + time.Second
)

var errSilent = errors.New("nats: the server has not answered a request for messages")

// ask requests messages when less than half of what there is room for is on its
// way.
func (s *pullSource) ask(room int) error {
	if s.outstanding > room/2 {
		return nil
	}
	batch := room - s.outstanding
	request := make([]byte, 0, 80)
	request = append(request, `{"expires":`...)
	request = strconv.AppendInt(request, int64(pullExpiry), 10)
	request = append(request, `,"idle_heartbeat":`...)
	request = strconv.AppendInt(request, int64(pullHeartbeat), 10)
	request = append(request, `,"batch":`...)
	request = strconv.AppendInt(request, int64(batch), 10)
	request = append(request, '}')
	if err := s.conn.PublishRequest(s.next, s.inbox.Subject, request); err != nil {
		return err
	}
	s.outstanding += batch
	return nil
}

// take fills buf with what has arrived.
func (s *pullSource) take(buf []broker.Raw) (int, error) {
	n := 0
	for n < len(buf) {
		m := s.poll()
		if m == nil {
			return n, nil
		}
		if m.Reply == "" {
			if err := s.status(m); err != nil {
				return n, err
			}
			continue
		}
		s.outstanding = max(0, s.outstanding-1)
		buf[n] = newRaw(m)
		n++
	}
	return n, nil
}

// poll returns the next message, or nil.
func (s *pullSource) poll() *nats.Msg {
	if len(s.arrived) > 0 {
		m := s.arrived[0]
		s.arrived = s.arrived[1:]
		return m
	}
	select {
	case m := <-s.in:
		return m
	default:
		return nil
	}
}

// status reads what the server says about a request.
func (s *pullSource) status(m *nats.Msg) error {
	code, pending := m.Header.Get("Status"), m.Header.Get("Nats-Pending-Messages")
	switch code {
	case "100": // heartbeat
		return nil
	case "404", "408": // the request has ended
		left, err := strconv.Atoi(pending)
		if err != nil {
			left = s.outstanding
		}
		s.outstanding = max(0, s.outstanding-left)
		return nil
	default:
		s.outstanding, s.broken = 0, true
		return fmt.Errorf("nats: request for messages: status %s %s", code, m.Header.Get("Description"))
	}
}

// wait returns when there may be more to do.
func (s *pullSource) wait(ctx context.Context, restored <-chan struct{}) error {
	s.silence.Reset(pullSilence)
	select {
	case m := <-s.in:
		s.arrived = append(s.arrived, m)
	case <-restored:
		s.outstanding = 0 // requests do not outlive a connection
	case <-s.silence.C:
		s.outstanding = 0
		if s.conn.IsConnected() {
			s.broken = true
			return errSilent
		}
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
