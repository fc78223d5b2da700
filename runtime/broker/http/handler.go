package httpbroker

import (
	"context"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
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
	peer, q, bad := s.accept(w, r)
	if bad != nil {
		refuse(w, *bad)
		return
	}
	if st := s.upgrade(w, r, peer); st != nil {
		go st.serve(context.WithoutCancel(r.Context()), q) // so that net/http lets go of what it has for the connection
		return
	}
	h := w.Header()
	h["Content-Type"] = resultTypes
	h["Date"] = nil // nobody reads it
	if s.offersUpgrade() && r.ProtoAtLeast(1, 1) {
		h["Connection"], h["Upgrade"] = upgradeHeader, upgradeTokens
	}
	if err := q.answer(r.Context(), &httpOutlet{ResponseWriter: w}); err != nil {
		s.logger().Debug("httpbroker: answer not written", slog.Any("error", err))
	}
}

// accept reads a request, or refuses it as a whole.
func (s *server) accept(w http.ResponseWriter, r *http.Request) (Peer, *request, *refusal) {
	if bad := checkRequest(r, s.options().maxRequestBytes()); bad != nil {
		return Peer{}, nil, bad
	}
	peer, bad := s.authenticate(w, r)
	if bad != nil {
		return peer, nil, bad
	}
	room := s.quota.enter(r.ContentLength, s.options().maxRequests, s.options().maxHeldBytes)
	if room == nil {
		return peer, nil, &refusal{http.StatusTooManyRequests, "too much at once"}
	}
	body, bad := s.readBody(r)
	if bad != nil {
		room.leave()
		return peer, nil, bad
	}
	q, bad := s.open(r.Context(), peer, body, room)
	return peer, q, bad
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

// readBody reads a body of a known length and checks its signature.
func (s *server) readBody(r *http.Request) ([]byte, *refusal) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, &refusal{http.StatusBadRequest, "body is cut short"}
	}
	return body, s.checkBody(r.Header, body, r.RemoteAddr)
}

// Header values that never change.
var (
	resultTypes   = []string{resultType}
	upgradeHeader = []string{"Upgrade"}
	upgradeTokens = []string{upgradeToken}
	noSniff       = []string{"nosniff"}
)

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
