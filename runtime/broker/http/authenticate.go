package httpbroker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// authenticate looks at all that a request can prove before its body is read. What
// is asked for must all be there: certificate, token and signature.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request) (Peer, *refusal) {
	if r.Header.Get("Origin") != "" {
		return Peer{}, &refusal{http.StatusForbidden, "browsers are not served"}
	}
	certificate, err := s.checkCertificate(w, r)
	if err != nil {
		return Peer{}, s.unauthorized(r.RemoteAddr, err)
	}
	return s.checkHead(r.Context(), r.Header, peerWith(certificate), r.RemoteAddr)
}

// checkHead looks at what a request proves beside the certificate of its connection,
// before its body is read. The token may have another name for the peer.
func (s *server) checkHead(ctx context.Context, h http.Header, peer Peer, from string) (Peer, *refusal) {
	o := s.options()
	if o.bearer != nil {
		name, err := o.bearer.peer(ctx, h)
		if err != nil {
			return Peer{}, s.unauthorized(from, err)
		}
		if name != "" {
			peer.Name = name
		}
	}
	if o.signer != nil {
		if err := o.signer.checkTime(h, time.Now()); err != nil {
			return Peer{}, s.unauthorized(from, err)
		}
	}
	return peer, nil
}

// checkBody verifies the signature of a body.
func (s *server) checkBody(h http.Header, body []byte, from string) *refusal {
	if signer := s.options().signer; signer != nil {
		if err := signer.verify(h, body, time.Now()); err != nil {
			return s.unauthorized(from, err)
		}
	}
	return nil
}

// wantsCredentials reports whether each request proves who sends it.
func (o *options) wantsCredentials() bool { return o.bearer != nil || o.signer != nil }

// unauthorized logs why a request is not let in, and says only the kind of reason.
func (s *server) unauthorized(from string, err error) *refusal {
	if s.mayLogDenied() {
		s.logger().Warn("httpbroker: request is not authenticated", slog.String("from", from), slog.Any("error", err))
	}
	for _, reason := range []error{errNoCredentials, errExpired, errReplayed} {
		if errors.Is(err, reason) {
			return &refusal{http.StatusUnauthorized, reason.Error()}
		}
	}
	if errors.Is(err, errCrowded) {
		return &refusal{http.StatusTooManyRequests, errCrowded.Error()}
	}
	return &refusal{http.StatusUnauthorized, errCredentials.Error()}
}

// mayLogDenied is true once a second: whoever is refused must not fill the log.
func (s *server) mayLogDenied() bool {
	now, last := time.Now().UnixNano(), s.denied.Load()
	return now-last > int64(time.Second) && s.denied.CompareAndSwap(last, now)
}

// mayPublish asks the authorisation.
func (s *server) mayPublish(ctx context.Context, peer Peer, topic, queue string) *refusal {
	err := s.options().may(ctx, Access{peer, ActionPublish, topic, queue})
	if err == nil {
		return nil
	}
	if s.mayLogDenied() {
		s.logger().Warn("httpbroker: publish is not allowed", slog.String("peer", peer.Name),
			slog.String("topic", topic), slog.String("queue", queue), slog.Any("error", err))
	}
	return &refusal{http.StatusForbidden, "not allowed to publish here"}
}

// appendCredentials appends the headers that authenticate a request.
func (p *publisher) appendCredentials(ctx context.Context, b, body []byte) ([]byte, error) {
	var err error
	if p.options.bearer != nil {
		if b, err = p.options.bearer.appendHeader(ctx, b); err != nil {
			return b, err
		}
	}
	if p.options.signer != nil {
		b = p.options.signer.appendHeaders(b, p.ids.next(), time.Now(), body)
	}
	return b, nil
}

// certificateGeneration changes when certificates do.
func (o *options) certificateGeneration() int64 {
	if o.transport == nil {
		return 0
	}
	return o.transport.generation()
}
