package httpbroker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// signatureTolerance is how far the clocks of publisher and member may be apart,
	// time on the way included.
	signatureTolerance = 30 * time.Second

	// maxSignatures bounds how many signatures of one request are looked at.
	maxSignatures = 8

	// maxRemembered bounds the signatures that are remembered per generation.
	maxRemembered = 1 << 20

	secretPrefix     = "whsec_"
	signatureVersion = "v1,"
)

// The headers of Standard Webhooks, in the form in which package http keeps them.
const (
	signatureID   = "Webhook-Id"
	signatureTime = "Webhook-Timestamp"
	signatureMAC  = "Webhook-Signature"
)

// HMAC makes publishers sign requests, and members want a signature, after Standard
// Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body,
// in which topic, queue and instance stand. A secret is base64 with or without
// "whsec_" in front, of at least 24 bytes. Requests are signed with each, and one
// that matches is enough: to bring in a new secret give it to all beside the old
// one, then take that away.
//
// A signature is good for 30 s before and after its time, and once: a member
// remembers those it took for as long as they are good.
func HMAC(secrets ...string) broker.Option {
	return newOption(func(o *options) error {
		s := &signer{}
		for i, secret := range secrets {
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
			if err != nil {
				return fmt.Errorf("HMAC: secret number %d is not base64", i+1)
			}
			if len(key) < minSecretBytes {
				return fmt.Errorf("HMAC: secret number %d has %d bytes, want at least %d", i+1, len(key), minSecretBytes)
			}
			s.keys = append(s.keys, key)
		}
		if len(s.keys) == 0 || len(s.keys) > maxSignatures {
			return fmt.Errorf("HMAC: there are %d secrets, want 1 to %d", len(s.keys), maxSignatures)
		}
		o.signer = s
		return nil
	})
}

// signer signs requests and verifies their signatures.
type signer struct {
	keys [][]byte
	seen replays
}

// mac returns the code of what is signed.
func mac(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// appendHeaders appends the headers of a request.
func (s *signer) appendHeaders(to []byte, id string, now time.Time, body []byte) []byte {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	to = append(to, "Webhook-Id: "+id+"\r\nWebhook-Timestamp: "+timestamp+"\r\nWebhook-Signature: "...)
	for i, key := range s.keys {
		if i > 0 {
			to = append(to, ' ')
		}
		to = base64.StdEncoding.AppendEncode(append(to, signatureVersion...), mac(key, id, timestamp, body))
	}
	return append(to, "\r\n"...)
}

// checkTime looks at what can be known before the body is read.
func (s *signer) checkTime(h http.Header, now time.Time) error {
	if h.Get(signatureID) == "" || h.Get(signatureTime) == "" || h.Get(signatureMAC) == "" {
		return errNoCredentials
	}
	seconds, err := strconv.ParseInt(h.Get(signatureTime), 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return errCredentials
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureTolerance || age < -signatureTolerance {
		return errExpired
	}
	return nil
}

// verify wants one good signature of the body that was not used before.
func (s *signer) verify(h http.Header, body []byte, now time.Time) error {
	matched := s.match(h, body)
	if matched == nil {
		return errCredentials
	}
	return s.seen.add(binary.BigEndian.Uint64(matched), now)
}

// match returns the code that a signature of the request has in common with a key.
func (s *signer) match(h http.Header, body []byte) []byte {
	id, timestamp := h.Get(signatureID), h.Get(signatureTime)
	given := strings.SplitN(h.Get(signatureMAC), " ", maxSignatures+1)
	for _, key := range s.keys {
		want := mac(key, id, timestamp, body)
		for _, text := range given[:min(len(given), maxSignatures)] {
			text, known := strings.CutPrefix(text, signatureVersion)
			code, err := base64.StdEncoding.DecodeString(text)
			if known && err == nil && hmac.Equal(code, want) {
				return want
			}
		}
	}
	return nil
}

// replays remembers signatures for at least as long as they are good: twice the
// tolerance, since one may come from the future.
type replays struct {
	mu          sync.Mutex
	now, before map[uint64]struct{} // the generation that grows, and the one before
	began       time.Time           // of now
}

// add remembers a signature, by a part of its code, which nobody can choose.
func (r *replays) add(code uint64, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch age := now.Sub(r.began); {
	case age > 4*signatureTolerance:
		r.now, r.before, r.began = make(map[uint64]struct{}), nil, now
	case age > 2*signatureTolerance:
		r.now, r.before, r.began = make(map[uint64]struct{}), r.now, now
	}
	_, seen := r.now[code]
	_, seenBefore := r.before[code]
	switch {
	case seen || seenBefore:
		return errReplayed
	case len(r.now) >= maxRemembered:
		return errCrowded
	}
	r.now[code] = struct{}{}
	return nil
}
