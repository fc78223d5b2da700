package httpbroker

import (
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// DeliverPath is where members take messages. A handler that is mounted must be
// reached there.
const DeliverPath = "/micro-event/v1/deliver"

// Content types of requests and answers.
const (
	frameType  = "application/vnd.micro-event.frame"
	resultType = "application/vnd.micro-event.results"
)

// retryAfter is the Retry-After of answers that are 429 or 503, in seconds. Our
// own publishers ask again sooner.
const retryAfter = 1

// refusal is a request that is answered as a whole. Its text is ours: nothing of
// the request is in it.
type refusal struct {
	status int
	text   string
}

// ServeHTTP implements [http.Handler]: it takes messages for the subscriptions
// of this broker.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
			s.logger().Error("httpbroker: request panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			refuse(w, refusal{http.StatusInternalServerError, "internal error"})
		}
	}()
	if topic, ok := strings.CutPrefix(r.URL.Path, IngressPath); ok && s.options().ingress {
		s.serveIngress(w, r, topic)
		return
	}
	if bad := checkRequest(r, s.options().maxRequestBytes()); bad != nil {
		refuse(w, *bad)
		return
	}
	peer, bad := s.authenticate(w, r)
	if bad != nil {
		refuse(w, *bad)
		return
	}
	room := s.quota.enter(r.ContentLength, s.options().maxRequests, s.options().maxHeldBytes)
	if room == nil {
		refuse(w, refusal{http.StatusTooManyRequests, "too much at once"})
		return
	}
	defer room.leave()
	f, bad := s.readFrame(r)
	if bad == nil {
		bad = s.mayPublish(r.Context(), peer, f.topic, f.queue)
	}
	if bad != nil {
		refuse(w, *bad)
		return
	}
	src, bad := s.find(f)
	if bad != nil {
		refuse(w, *bad)
		return
	}
	s.deliver(w, r, src, f, room)
}

// checkRequest looks at what is known before the body is read.
func checkRequest(r *http.Request, maxBytes int64) *refusal {
	switch {
	case r.URL.Path != DeliverPath:
		return &refusal{http.StatusNotFound, "no such path"}
	case r.Method != http.MethodPost:
		return &refusal{http.StatusMethodNotAllowed, "only POST"}
	case !isFrame(r.Header):
		return &refusal{http.StatusUnsupportedMediaType, "content type is not " + frameType}
	case r.Header.Get("Content-Encoding") != "":
		return &refusal{http.StatusUnsupportedMediaType, "requests are not compressed"}
	case r.ContentLength < 0:
		return &refusal{http.StatusLengthRequired, "content length is missing"}
	case r.ContentLength > maxBytes:
		return &refusal{http.StatusRequestEntityTooLarge, "request is too large"}
	}
	return nil
}

func isFrame(h http.Header) bool {
	given := h.Get("Content-Type")
	if given == frameType {
		return true
	}
	parsed, _, err := mime.ParseMediaType(given)
	return err == nil && parsed == frameType
}

func (s *server) readFrame(r *http.Request) (*frame, *refusal) {
	body, bad := s.readBody(r)
	if bad != nil {
		return nil, bad
	}
	f, err := parseFrame(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "frame is malformed"}
	}
	return f, nil
}

// readBody reads a body of a known length and checks its signature.
func (s *server) readBody(r *http.Request) ([]byte, *refusal) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, &refusal{http.StatusBadRequest, "body is cut short"}
	}
	if signer := s.options().signer; signer != nil {
		if err := signer.verify(r.Header, body, time.Now()); err != nil {
			return nil, s.unauthorized(r, err)
		}
	}
	return body, nil
}

// Header values that never change.
var (
	resultTypes = []string{resultType}
	noSniff     = []string{"nosniff"}
)

// deliver hands the messages over and writes what becomes of them.
func (s *server) deliver(w http.ResponseWriter, r *http.Request, src *source, f *frame, room *room) {
	n := len(f.messages)
	a := newAnswer(n)
	for _, ended := range src.take(f, a, room) {
		a.finish(ended)
	}
	h := w.Header()
	h["Content-Type"] = resultTypes
	h["Date"] = nil // nobody reads it
	wait := patience
	if src.slow.Load() {
		wait = 0
	}
	if err := a.write(r.Context(), w, n, wait); err != nil {
		src.withdraw(a)
		s.logger().Debug("httpbroker: answer not written", slog.Any("error", err))
	}
}

func refuse(w http.ResponseWriter, r refusal) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h["X-Content-Type-Options"] = noSniff
	switch r.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusRequestEntityTooLarge, http.StatusLengthRequired:
		h.Set("Connection", "close")
	}
	w.WriteHeader(r.status)
	io.WriteString(w, r.text) //nolint:errcheck // the client is gone
}
