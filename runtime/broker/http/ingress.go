package httpbroker

import (
	"context"
	"errors"
	"net/http"

	"github.com/micro-event/micro-event/runtime/broker"
)

// IngressPath is where everybody else publishes with [Ingress]; the topic follows.
const IngressPath = "/publish/"

// Ingress takes plain CloudEvents requests, in binary mode or as structured JSON, at
// POST /publish/{topic}, and publishes them to all queues of the topic as Publish
// does: with curl, or any SDK of CloudEvents. The authentication is that of the
// other requests. With [HMAC] alone a request in binary mode must come over TLS,
// since its signature does not cover the headers.
//
// The status says what Publish said: 204 it was handled; 202 accepted, at level
// [Accepted]; 400 no CloudEvent, or against the limits of headers; 401 and 403 not
// authenticated, not allowed; 404 nobody subscribes; 413 too large; 422 refused for
// good; 429 no room; 503 not delivered; 504 perhaps delivered, and harmless to send
// again with the same id and source. Default: not taken.
func Ingress() broker.Option {
	return newOption(func(o *options) error {
		o.ingress = true
		return nil
	})
}

// structuredOverhead is how much longer an event is as JSON: its data in base64, and
// its attributes.
func structuredOverhead(body int) int64 { return int64(body)/3 + frameOverhead }

// serveIngress publishes the event in a request.
func (s *server) serveIngress(w http.ResponseWriter, r *http.Request, topic string) {
	status, bad := s.ingress(w, r, topic)
	if bad != nil {
		refuse(w, *bad)
		return
	}
	w.WriteHeader(status)
}

func (s *server) ingress(w http.ResponseWriter, r *http.Request, topic string) (int, *refusal) {
	if bad := s.checkIngress(r, topic); bad != nil {
		return 0, bad
	}
	peer, bad := s.authenticate(w, r)
	if bad == nil {
		bad = s.mayPublish(r.Context(), peer, topic, "")
	}
	if bad != nil {
		return 0, bad
	}
	room := s.quota.enter(r.ContentLength, s.options().maxRequests, s.options().maxHeldBytes)
	if room == nil {
		return 0, &refusal{http.StatusTooManyRequests, "too much at once"}
	}
	defer room.leave()
	body, bad := s.readBody(r)
	if bad != nil {
		return 0, bad
	}
	record, err := cloudEvent(r.Header, body)
	if err == nil {
		err = broker.CheckRecord(record)
	}
	switch {
	case err != nil:
		return 0, &refusal{http.StatusBadRequest, printable([]byte(err.Error()))}
	case len(record.Body) > s.options().maxBody:
		return 0, &refusal{http.StatusRequestEntityTooLarge, "data is too large"}
	}
	return s.publishHere(r.Context(), topic, record)
}

// checkIngress looks at what is known before the body is read.
func (s *server) checkIngress(r *http.Request, topic string) *refusal {
	o := s.options()
	switch {
	case broker.CheckTopic(topic) != nil:
		return &refusal{http.StatusNotFound, "no such topic"}
	case r.Method != http.MethodPost:
		return &refusal{http.StatusMethodNotAllowed, "only POST"}
	case r.Header.Get("Content-Encoding") != "":
		return &refusal{http.StatusUnsupportedMediaType, "requests are not compressed"}
	case isBatch(r.Header):
		return &refusal{http.StatusUnsupportedMediaType, "batches are not taken; send one event at a time"}
	case r.ContentLength < 0:
		return &refusal{http.StatusLengthRequired, "content length is missing"}
	case r.ContentLength > int64(o.maxBody)+structuredOverhead(o.maxBody):
		return &refusal{http.StatusRequestEntityTooLarge, "request is too large"}
	case o.signer != nil && r.TLS == nil && !isStructured(r.Header):
		return &refusal{http.StatusUnauthorized, "the signature does not cover the headers; send structured JSON, or use TLS"}
	}
	return nil
}

// publishHere publishes as a caller of Publish would and returns the status of the
// answer.
func (s *server) publishHere(ctx context.Context, topic string, r *broker.Record) (int, *refusal) {
	p := s.driver.publisherNow()
	if p == nil {
		return 0, &refusal{http.StatusServiceUnavailable, "shutting down"}
	}
	err := p.publish(ctx, topic, r, broker.PublishOptions{})
	switch {
	case err == nil && s.options().level == Accepted:
		return http.StatusAccepted, nil
	case err == nil:
		return http.StatusNoContent, nil
	case !errors.Is(err, broker.ErrNotDelivered) && !errors.Is(err, broker.ErrRejected):
		return 0, &refusal{http.StatusGatewayTimeout, "perhaps delivered; send it again with the same id and source"}
	case errors.Is(err, broker.ErrNoSubscribers):
		return 0, &refusal{http.StatusNotFound, "nobody subscribes to the topic"}
	case errors.Is(err, broker.ErrTooLarge):
		return 0, &refusal{http.StatusRequestEntityTooLarge, "data is too large"}
	case errors.Is(err, broker.ErrBackpressure):
		return 0, &refusal{http.StatusTooManyRequests, "no room"}
	case errors.Is(err, broker.ErrRejected):
		return 0, &refusal{http.StatusUnprocessableEntity, "a subscription refused the event for good"}
	}
	return 0, &refusal{http.StatusServiceUnavailable, "not delivered"}
}
